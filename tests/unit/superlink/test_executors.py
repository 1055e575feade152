from dataclasses import replace

import pytest

from flwr.core.app_choice import EVERY_APP, AppChoice
from flwr.core.run import RunStatus
from flwr.superlink.executors import explain
from tests.unit.core.test_run import PENDING

OTHERS = AppChoice(frozenset({"somebody/else"}))


def reason(served: AppChoice | None, *, others_run: bool = False) -> str:
    return explain(PENDING, served, others_run=others_run).details


@pytest.mark.row("S6")
def test_a_pending_run_says_what_it_waits_for() -> None:
    assert "none is connected" in reason(None)
    assert "flower-superexec" in reason(None)
    assert "room" in reason(EVERY_APP)
    assert "room" in reason(AppChoice(frozenset({PENDING.fab_id})))
    assert "room" in reason(None, others_run=True)  # full, it does not ask


@pytest.mark.row("S27")
def test_a_run_of_an_app_nobody_serves_says_so_and_what_to_start() -> None:
    said = reason(OTHERS)
    assert "somebody/else" in said
    assert f"--only-apps {PENDING.fab_id}" in said


def test_any_other_run_keeps_its_own_words() -> None:
    failed = replace(PENDING, status=RunStatus.FAILED, details="ServerApp was killed by SIGKILL")

    assert explain(failed, None, others_run=False) is failed
