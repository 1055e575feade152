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
    assert "flower-superexec" in executors.explain(PENDING).details

    with executors.waiting():
        assert "room" in executors.explain(PENDING).details
    clock.advance(timedelta(seconds=9))
    assert "room" in executors.explain(PENDING).details
    clock.advance(timedelta(seconds=2))
    assert "none is connected" in executors.explain(PENDING).details


def test_any_other_run_keeps_its_own_words() -> None:
    failed = replace(PENDING, status=RunStatus.FAILED, details="ServerApp was killed by SIGKILL")

    assert Executors(FakeClock()).explain(failed) is failed
