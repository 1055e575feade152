from dataclasses import replace
from datetime import timedelta

import pytest

from flwr.core.run import RunStatus
from flwr.superlink.executors import Executors
from tests.fakes.clock import FakeClock
from tests.unit.core.test_run import PENDING


@pytest.mark.row("S6")
def test_a_pending_run_says_what_it_waits_for() -> None:
    clock = FakeClock()
    executors = Executors(clock)

    def reason(*, others_run: bool = False) -> str:
        return executors.explain(PENDING, others_run=others_run).details

    assert "flower-superexec" in reason()

    with executors.waiting():
        assert "room" in reason()
    clock.advance(timedelta(seconds=9))
    assert "room" in reason()
    clock.advance(timedelta(seconds=2))
    assert "none is connected" in reason()
    assert "room" in reason(others_run=True)  # full, it does not ask


def test_any_other_run_keeps_its_own_words() -> None:
    failed = replace(PENDING, status=RunStatus.FAILED, details="ServerApp was killed by SIGKILL")

    assert Executors(FakeClock()).explain(failed, others_run=False) is failed
