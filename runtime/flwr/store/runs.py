"""Statements about runs."""

from dataclasses import asdict
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, or_, select, update

from flwr.core.app_choice import EVERY_APP, AppChoice
from flwr.core.errors import AlreadyExistsError, ConflictError
from flwr.core.ids import AccountId, FabHash, RunId
from flwr.core.origin import Origin
from flwr.core.run import FINAL, Run, RunNotFoundError, RunStatus, RunType
from flwr.core.simulation import SimulationConfig
from flwr.store.dialect import insert_new
from flwr.store.prepared import Prepared
from flwr.store.schema import run as table

RunList = list[Run]
RunIdList = list[RunId]
_NOT_FINAL = sorted(set(RunStatus) - FINAL)

# Statements of the busy paths are built once: building one costs more than running it.
_ASKED = table.c.run_id == bindparam("asked", type_=table.c.run_id.type)
_FIND = Prepared(select(table).where(_ASKED))
_STATUS = Prepared(select(table.c.status).where(_ASKED))
_ADD_TRAFFIC = Prepared(
    update(table)
    .where(_ASKED)
    .values(
        bytes_sent=table.c.bytes_sent + bindparam("sent"),
        bytes_recv=table.c.bytes_recv + bindparam("received"),
        clientapp_runtime_s=table.c.clientapp_runtime_s + bindparam("runtime_s"),
    )
)


class Runs:
    """The runs, as one transaction sees them."""

    def __init__(self, connection: Connection) -> None:
        """Work within the transaction of ``connection``."""
        self._connection = connection

    def add(self, run: Run) -> None:
        """Store a new run.

        Raises:
            AlreadyExistsError: the id, or the account's submit key, is taken.
        """
        row = {"run_id": run.run_id, **_mutable(run), **_constant(run)}
        if not insert_new(self._connection, table, row):
            raise AlreadyExistsError(f"run {run.run_id} or its submit key exists")

    def find(self, run_id: RunId) -> Run | None:
        """Return the run, None if there is none such."""
        row = _FIND.first(self._connection, {"asked": run_id})
        return None if row is None else _decode(row)

    def require(self, run_id: RunId) -> Run:
        """Return the run.

        Raises:
            RunNotFoundError: there is none such.
        """
        run = self.find(run_id)
        if run is None:
            raise RunNotFoundError(run_id)
        return run

    def status(self, run_id: RunId) -> RunStatus | None:
        """Return where a run stands, None if there is none such."""
        row = _STATUS.first(self._connection, {"asked": run_id})
        return None if row is None else RunStatus(row.status)

    def save(self, run: Run, was: RunStatus) -> None:
        """Write the status, its instants and details, provided the status still is ``was``.

        Traffic counters are not touched: ``add_traffic`` owns them.

        Raises:
            ConflictError: the status is no longer ``was``, or the run is gone.
        """
        still = (table.c.run_id == run.run_id, table.c.status == was.value)
        done = self._connection.execute(update(table).where(*still).values(_mutable(run)))
        if done.rowcount != 1:
            raise ConflictError(f"run {run.run_id} is no longer {was}")

    def find_by_submit_key(self, account_id: AccountId, key: str) -> Run | None:
        """Return the run this account submitted under ``key``."""
        mine = (table.c.account_id == account_id, table.c.submit_key == key)
        row = self._connection.execute(select(table).where(*mine)).first()
        return None if row is None else _decode(row)

    def pending(self, choice: AppChoice = EVERY_APP) -> RunIdList:
        """Return the ids of pending runs of the chosen apps, oldest first."""
        waiting = select(table.c.run_id).where(table.c.status == RunStatus.PENDING.value)
        if choice.fab_ids is not None:
            waiting = waiting.where(table.c.fab_id.in_(sorted(choice.fab_ids)))
        rows = self._connection.execute(waiting.order_by(table.c.pending_at, table.c.run_id))
        return [RunId(row.run_id) for row in rows]

    def unfinished(self) -> RunList:
        """Return every run that is not final, oldest first."""
        alive = select(table).where(table.c.status.in_(_NOT_FINAL))
        rows = self._connection.execute(alive.order_by(table.c.pending_at, table.c.run_id))
        return [_decode(row) for row in rows]

    def add_traffic(
        self,
        run_id: RunId,
        *,
        sent: int = 0,
        received: int = 0,
        clientapp_runtime_s: float = 0.0,
    ) -> None:
        """Add bytes (SuperLink to nodes, nodes to SuperLink) and seconds to the run's counters."""
        more = {"sent": sent, "received": received, "runtime_s": clientapp_runtime_s}
        _ADD_TRAFFIC.change(self._connection, {"asked": run_id, **more})

    def list(
        self,
        *,
        account_id: AccountId | None = None,
        limit: int | None = None,
        before: RunId | None = None,
    ) -> RunList:
        """Return runs, newest first.

        Args:
            account_id: only those of this account.
            limit: at most so many.
            before: only those listed after this run, for the next page; unknown: none.
        """
        newest_first = select(table).order_by(table.c.pending_at.desc(), table.c.run_id.desc())
        if account_id is not None:
            newest_first = newest_first.where(table.c.account_id == account_id)
        if before is not None:
            mark = self._connection.execute(
                select(table.c.pending_at).where(table.c.run_id == before),
            ).scalar_one_or_none()
            if mark is None:
                return []
            newest_first = newest_first.where(_is_before(mark, before))
        rows = self._connection.execute(newest_first.limit(limit))
        return [_decode(row) for row in rows]


def _is_before(pending_at: datetime, run_id: RunId) -> Any:
    same_instant = (table.c.pending_at == pending_at) & (table.c.run_id < run_id)
    return or_(table.c.pending_at < pending_at, same_instant)


def _constant(run: Run) -> dict[str, Any]:
    return {
        "fab_id": run.fab_id,
        "fab_version": run.fab_version,
        "fab_hash": run.fab_hash,
        "override_config": dict(run.override_config),
        "federation": run.federation,
        "account_id": run.account_id,
        "account_name": run.account_name,
        "run_type": run.run_type.value,
        "pending_at": run.pending_at,
        "bytes_sent": run.bytes_sent,
        "bytes_recv": run.bytes_recv,
        "clientapp_runtime_s": run.clientapp_runtime_s,
        "simulation": None if run.simulation is None else asdict(run.simulation),
        "submit_key": run.submit_key,
        "origin": None if run.origin is None else asdict(run.origin),
    }


def _mutable(run: Run) -> dict[str, Any]:
    return {
        "status": run.status.value,
        "details": run.details,
        "starting_at": run.starting_at,
        "running_at": run.running_at,
        "finished_at": run.finished_at,
    }


def _decode(row: Row[Any]) -> Run:
    return Run(
        run_id=RunId(row.run_id),
        fab_id=row.fab_id,
        fab_version=row.fab_version,
        fab_hash=FabHash(row.fab_hash),
        override_config=row.override_config,
        federation=row.federation,
        account_id=AccountId(row.account_id),
        account_name=row.account_name,
        run_type=RunType(row.run_type),
        status=RunStatus(row.status),
        details=row.details,
        pending_at=row.pending_at,
        starting_at=row.starting_at,
        running_at=row.running_at,
        finished_at=row.finished_at,
        bytes_sent=row.bytes_sent,
        bytes_recv=row.bytes_recv,
        clientapp_runtime_s=row.clientapp_runtime_s,
        simulation=None if row.simulation is None else SimulationConfig(**row.simulation),
        submit_key=row.submit_key,
        origin=None if row.origin is None else Origin(**row.origin),
    )
