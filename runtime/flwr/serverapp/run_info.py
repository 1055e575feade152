"""What a ServerApp may know of its run."""

from dataclasses import dataclass
from datetime import datetime

from flwr.app.user_config import UserConfig
from flwr.core import run as core
from flwr.core.run import FINAL


@dataclass
class RunStatus:
    """Where a run stands: ``status`` and, once it is ``finished``, how it ended."""

    status: str  # pending, starting, running, finished
    sub_status: str  # completed, failed, stopped; empty unless finished
    details: str


@dataclass
class Run:
    """One execution of an app; times are ISO 8601 in UTC, empty if not reached."""

    run_id: int
    fab_id: str
    fab_version: str
    fab_hash: str
    override_config: UserConfig
    pending_at: str
    starting_at: str
    running_at: str
    finished_at: str
    status: RunStatus
    flwr_aid: str
    federation: str
    bytes_sent: int
    bytes_recv: int
    clientapp_runtime: float
    run_type: str = ""

    @classmethod
    def create_empty(cls, run_id: int) -> "Run":
        """Return a run of which nothing but the id is known, as fakes of a Grid need it."""
        return cls(
            run_id=run_id,
            fab_id="",
            fab_version="",
            fab_hash="",
            override_config={},
            pending_at="",
            starting_at="",
            running_at="",
            finished_at="",
            status=RunStatus("", "", ""),
            flwr_aid="",
            federation="",
            bytes_sent=0,
            bytes_recv=0,
            clientapp_runtime=0.0,
        )


def describe(run: core.Run) -> Run:
    """Return what an app may know of ``run``."""
    is_final = run.status in FINAL
    return Run(
        run_id=run.run_id,
        fab_id=run.fab_id,
        fab_version=run.fab_version,
        fab_hash=run.fab_hash,
        override_config=dict(run.override_config),
        pending_at=_stamp(run.pending_at),
        starting_at=_stamp(run.starting_at),
        running_at=_stamp(run.running_at),
        finished_at=_stamp(run.finished_at),
        status=RunStatus(
            status="finished" if is_final else run.status.value,
            sub_status=run.status.value if is_final else "",
            details=run.details,
        ),
        flwr_aid=run.account_id,
        federation=run.federation,
        bytes_sent=run.bytes_sent,
        bytes_recv=run.bytes_recv,
        clientapp_runtime=run.clientapp_runtime_s,
        run_type=run.run_type.value,
    )


def _stamp(at: datetime | None) -> str:
    return at.isoformat() if at else ""
