import itertools
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from flwr.core.ids import AccountId, FabHash, RunId
from flwr.core.run import (
    FINAL,
    NEXT,
    Run,
    RunNotRunningError,
    RunStatus,
    RunTransitionError,
    advance,
    require_running,
)

T0 = datetime(2026, 3, 1, tzinfo=UTC)
LATER = T0 + timedelta(seconds=5)
PENDING = Run(
    run_id=RunId(7),
    fab_id="acme/tiny",
    fab_version="1.0.0",
    fab_hash=FabHash("a" * 64),
    federation="@none/default",
    account_id=AccountId("<id:none>"),
    account_name="none",
    pending_at=T0,
)
EVERY_MOVE = list(itertools.product(RunStatus, RunStatus))


@pytest.mark.row("S60")
@pytest.mark.parametrize(("old", "new"), EVERY_MOVE)
def test_only_moves_of_the_table_happen(old: RunStatus, new: RunStatus) -> None:
    run = replace(PENDING, status=old)
    if new in NEXT[old]:
        assert advance(run, new, at=LATER).status is new
    else:
        with pytest.raises(RunTransitionError, match=f"is {old}, it cannot become {new}"):
            advance(run, new, at=LATER)


@pytest.mark.parametrize("final", sorted(FINAL))
def test_a_final_run_never_moves(final: RunStatus) -> None:
    assert NEXT[final] == frozenset()


def test_pending_never_completes() -> None:
    assert RunStatus.COMPLETED not in NEXT[RunStatus.PENDING] | NEXT[RunStatus.STARTING]


def test_every_move_stamps_its_time() -> None:
    starting = advance(PENDING, RunStatus.STARTING, at=LATER)
    running = advance(starting, RunStatus.RUNNING, at=LATER)
    failed = advance(running, RunStatus.FAILED, at=LATER, details="ServerApp was killed by SIGKILL")

    assert (starting.starting_at, running.running_at, failed.finished_at) == (LATER,) * 3
    assert failed.details == "ServerApp was killed by SIGKILL"
    assert failed.is_final


@pytest.mark.parametrize(
    ("status", "text"),
    [
        (RunStatus.PENDING, "Run is pending."),
        (RunStatus.STARTING, "Run is starting."),
        (RunStatus.COMPLETED, "Run is finished."),
        (RunStatus.STOPPED, "Run is finished. Stopped by user."),
    ],
)
def test_not_running_is_said_in_the_words_of_the_contract(status: RunStatus, text: str) -> None:
    with pytest.raises(RunNotRunningError) as refused:
        require_running(replace(PENDING, status=status))
    assert refused.value.message == text
