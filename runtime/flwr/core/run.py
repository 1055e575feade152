"""A run: its states, the table of moves between them, and the cause of its end.

Everything that decides whether a run may change lives here and nowhere else.
Final outcomes are states of their own, so "finished without outcome" cannot be written.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from flwr.core.errors import ErrorKind, FlwrError, NotFoundError
from flwr.core.ids import AccountId, FabHash, RunId
from flwr.core.origin import Origin
from flwr.core.run_config import ConfigValue
from flwr.core.simulation import SimulationConfig


class RunStatus(StrEnum):
    """Where a run stands; the last three are final."""

    PENDING = "pending"  # accepted, waiting for a SuperExec
    STARTING = "starting"  # a launch was granted
    RUNNING = "running"  # the ServerApp has its inputs
    COMPLETED = "completed"  # the ServerApp returned
    FAILED = "failed"  # it raised, died, was lost or never started: ``details`` says which
    STOPPED = "stopped"  # somebody stopped it


FINAL: Final = frozenset({RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.STOPPED})
_ENDED_EARLY: Final = frozenset({RunStatus.FAILED, RunStatus.STOPPED})

NEXT: Final[Mapping[RunStatus, frozenset[RunStatus]]] = {
    RunStatus.PENDING: _ENDED_EARLY | {RunStatus.STARTING},
    # Back to pending: the launch was lost before the ServerApp had its inputs.
    RunStatus.STARTING: _ENDED_EARLY | {RunStatus.RUNNING, RunStatus.PENDING},
    RunStatus.RUNNING: FINAL,
    **dict.fromkeys(FINAL, frozenset()),
}


class RunType(StrEnum):
    """Which program executes the run."""

    SERVERAPP = "serverapp"
    SIMULATION = "simulation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One execution of an app."""

    run_id: RunId
    fab_id: str  # publisher/name
    fab_version: str
    fab_hash: FabHash
    override_config: Mapping[str, ConfigValue] = field(default_factory=dict)
    federation: str
    account_id: AccountId
    account_name: str
    run_type: RunType = RunType.SERVERAPP
    status: RunStatus = RunStatus.PENDING
    details: str = ""  # the cause of the end, for a person
    pending_at: datetime
    starting_at: datetime | None = None
    running_at: datetime | None = None
    finished_at: datetime | None = None
    bytes_sent: int = 0  # SuperLink to nodes
    bytes_recv: int = 0  # nodes to SuperLink
    clientapp_runtime_s: float = 0.0
    simulation: SimulationConfig | None = None
    submit_key: str | None = None  # same key, same account: same run
    origin: Origin | None = None  # of an app given as a git reference

    @property
    def is_final(self) -> bool:
        """True once the run can never change again."""
        return self.status in FINAL


class RunTransitionError(FlwrError):
    """The run cannot move from its present status to the wanted one."""

    kind = ErrorKind.FAILED_PRECONDITION

    def __init__(self, run: Run, wanted: RunStatus) -> None:
        """Keep the run and the wanted status."""
        super().__init__(f"run {run.run_id} is {run.status}, it cannot become {wanted}")
        self.run, self.wanted = run, wanted


class RunNotRunningError(FlwrError):
    """The call needs a running run."""

    kind = ErrorKind.NOT_RUNNING

    def __init__(self, status: RunStatus) -> None:
        """Say it in the words the wire contract fixes (§6)."""
        word = status if status not in FINAL else "finished"
        by_user = " Stopped by user." if status is RunStatus.STOPPED else ""
        super().__init__(f"Run is {word}.{by_user}")
        self.status = status


class RunNotFoundError(NotFoundError):
    """No run has this id, or it belongs to somebody else."""

    def __init__(self, run_id: RunId) -> None:
        """Use the text the CLI compares exactly (wire contract §14.2)."""
        super().__init__("Run ID not found")
        self.run_id = run_id


def advance(run: Run, to: RunStatus, *, at: datetime, details: str = "") -> Run:
    """Return ``run`` moved to ``to``.

    Raises:
        RunTransitionError: the table forbids the move; nothing changed.
    """
    if to not in NEXT[run.status]:
        raise RunTransitionError(run, to)
    if to in FINAL:
        return replace(run, status=to, finished_at=at, details=details)
    stamps: Mapping[RunStatus, Run] = {
        RunStatus.PENDING: replace(run, status=to, starting_at=None),
        RunStatus.STARTING: replace(run, status=to, starting_at=at),
        RunStatus.RUNNING: replace(run, status=to, running_at=at),
    }
    return stamps[to]


def require_running(run: Run) -> Run:
    """Return ``run`` if it is running.

    Raises:
        RunNotRunningError: it is in any other state.
    """
    if run.status is not RunStatus.RUNNING:
        raise RunNotRunningError(run.status)
    return run
