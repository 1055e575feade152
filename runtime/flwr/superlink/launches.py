"""Operations of ServerApp processes on their run: launch, inputs, heartbeat, outcome, loss.

A launch is a lease.  Its token is shown once, to the SuperExec that asked for it; the store keeps
only the hash.  A lease is valid as long as its row exists: only the reaper, an exit report or the
end of the run takes it away, never a reader who happens to look at the clock.
"""

import logging
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from flwr.auth.app_tokens import TokenRefusedError, hash_token, new_token
from flwr.core.app_choice import EVERY_APP, AppChoice
from flwr.core.clock import Clock
from flwr.core.errors import FailedPreconditionError
from flwr.core.ids import SUPERLINK_NODE, RunId
from flwr.core.lease import AppKind, Lease, heard
from flwr.core.limits import (
    LEASE_AFTER_HEARTBEAT,
    LEASE_BEFORE_HEARTBEAT,
    MAX_LAUNCH_ATTEMPTS,
)
from flwr.core.run import FINAL, NEXT, Run, RunNotRunningError, RunStatus, advance, require_running
from flwr.core.topics import lease_ended
from flwr.store.fabs import Fab
from flwr.store.remembered import Remembered
from flwr.store.store import Store, Tx
from flwr.superlink import topics
from flwr.superlink.endings import end_run

logger = logging.getLogger(__name__)

NO_HEARTBEAT: Final = "No heartbeat received from the run."
_GRANTED: Final = "app.launch-granted"
_TAKEN_BACK: Final = "app.launch-taken-back"


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a ServerApp starts with."""

    run: Run
    fab: Fab
    context: bytes | None  # serialized; None while the run has no context of its own


class Launches:
    """Grant launches and follow the processes that hold them."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        # Of a remembered lease only what never changes is right: token, run and message.
        self.live = Remembered(store, lease_ended, self.find_lease)

    def pending(self, choice: AppChoice = EVERY_APP) -> list[RunId]:
        """Return the runs of the chosen apps that wait for a launch, oldest first."""
        with self._store.reading() as tx:
            return tx.runs.pending(choice)

    def find_lease(self, token_hash: str) -> Lease | None:
        """Return the live lease of the token with this hash, None when there is none."""
        with self._store.reading() as tx:
            return tx.leases.find_by_hash(token_hash)

    def find_lease_of_run(self, run_id: RunId) -> Lease | None:
        """Return the live lease of a run, for apps too old to prove theirs on every call."""
        with self._store.reading() as tx:
            return next(iter(tx.leases.for_run(run_id)), None)

    def grant(self, run_id: RunId) -> str:
        """Return a new token for a pending run, "" when the run may not be launched."""
        now = self._clock.now()
        with self._store.transaction() as tx:
            run = tx.runs.find(run_id)
            if run is None or run.status is not RunStatus.PENDING:
                return ""
            tx.runs.save(advance(run, RunStatus.STARTING, at=now), was=run.status)
            token = new_token()
            tx.leases.grant(
                Lease(
                    token_hash=hash_token(token),
                    kind=AppKind.SERVERAPP,
                    run_id=run_id,
                    message_id=None,
                    granted_at=now,
                    until=now + LEASE_BEFORE_HEARTBEAT,
                ),
            )
            tx.events.append(at=now, kind=_GRANTED, actor="superexec", run_id=run_id)
            tx.events.append(at=now, kind="run.starting", actor="superexec", run_id=run_id)
            tx.notify(topics.run(run_id))
            tx.notify(topics.REAPER)
        logger.info("Launch granted", extra={"event": "launch-granted", "run_id": run_id})
        return token

    def pull_inputs(self, token_hash: str) -> Inputs:
        """Hand the run's inputs to its ServerApp, once; the run is running from here on.

        Raises:
            TokenRefusedError: no live lease has this token.
            FailedPreconditionError: the inputs were pulled before, or the run is not starting.
        """
        now = self._clock.now()
        with self._store.transaction() as tx:
            lease = _require_lease(tx, token_hash)
            run = tx.runs.require(lease.run_id)
            if lease.inputs_pulled:
                raise FailedPreconditionError("The inputs of this launch were pulled before")
            running = advance(run, RunStatus.RUNNING, at=now)
            fab = tx.fabs.find(run.fab_hash)
            if fab is None:
                raise FailedPreconditionError(f"The FAB of run {run.run_id} is gone")
            tx.runs.save(running, was=run.status)
            tx.leases.save(replace(lease, inputs_pulled=True))
            tx.events.append(at=now, kind="run.running", actor="serverapp", run_id=run.run_id)
            tx.notify(topics.run(run.run_id))
            return Inputs(running, fab, tx.contexts.find(run.run_id, SUPERLINK_NODE))

    def take_back(self, token: str) -> None:
        """Undo a grant whose token never reached anybody; it does not count as an attempt."""
        now = self._clock.now()
        with self._store.transaction() as tx:
            lease = tx.leases.find_by_hash(hash_token(token))
            if lease is None:
                return
            tx.leases.end(lease.token_hash)
            run = tx.runs.find(lease.run_id)
            if run is None or run.status is not RunStatus.STARTING:
                return
            tx.events.append(at=now, kind=_TAKEN_BACK, actor="superlink", run_id=run.run_id)
            _requeue(tx, run, "The SuperExec did not wait for its launch.", at=now)

    def heartbeat(self, token_hash: str, next_in: timedelta | None = None) -> bool:
        """Renew a lease; False when it is gone.

        Args:
            token_hash: whose lease.
            next_in: when the next heartbeat is announced for; None: not said (upstream's apps).
        """
        now = self._clock.now()
        with self._store.transaction() as tx:
            lease = tx.leases.find_by_hash(token_hash)
            if lease is None:
                return False
            later = heard(lease, at=now, next_in=next_in)
            tx.leases.save(later)
            if later.until < lease.until:
                tx.notify(topics.REAPER)
            return True

    def push_outputs(self, run_id: RunId, context: bytes) -> None:
        """Keep the context with which the ServerApp ended.

        Raises:
            RunNotRunningError: the run is not running.
        """
        with self._store.transaction() as tx:
            require_running(tx.runs.require(run_id))
            tx.contexts.save(run_id, SUPERLINK_NODE, context)

    def update_status(self, run_id: RunId, to: RunStatus, details: str) -> None:
        """Take the outcome an app reports; a move the table forbids changes nothing.

        Raises:
            RunNotRunningError: the run is finished.
        """
        with self._store.transaction() as tx:
            run = tx.runs.require(run_id)
            if run.is_final:
                raise RunNotRunningError(run.status)
            if to not in FINAL or to not in NEXT[run.status]:
                return
            end_run(tx, run, to, at=self._clock.now(), actor="serverapp", details=details)

    def report_exit(self, token: str, cause: str) -> None:
        """Take the news that a launched process ended without an outcome.

        A run that had not begun is launched again, up to ``MAX_LAUNCH_ATTEMPTS`` times.
        """
        with self._store.transaction() as tx:
            lease = tx.leases.find_by_hash(hash_token(token))
            if lease is None:
                return
            self._lose(tx, lease, f"The ServerApp process {cause}.", at=self._clock.now())

    def lapse(self, tx: Tx, lease: Lease) -> None:
        """Take the lease of a process that was not heard in time."""
        self._lose(tx, lease, NO_HEARTBEAT, at=lease.until)

    def forgive(self, tx: Tx, now: datetime) -> None:
        """Give every lease a full patience from ``now``: the silence was ours."""
        for lease in tx.leases.list():
            tx.leases.save(replace(lease, until=now + LEASE_AFTER_HEARTBEAT))

    def _lose(self, tx: Tx, lease: Lease, cause: str, *, at: datetime) -> None:
        tx.leases.end(lease.token_hash)
        run = tx.runs.find(lease.run_id)
        if run is None or run.is_final:
            return
        details = {"cause": cause}
        tx.events.append(
            at=at, kind="app.lost", actor="superlink", run_id=run.run_id, details=details
        )
        logger.warning(
            "ServerApp lost", extra={"event": "app-lost", "run_id": run.run_id, "cause": cause}
        )
        if run.status is RunStatus.STARTING and _attempts(tx, run.run_id) < MAX_LAUNCH_ATTEMPTS:
            _requeue(tx, run, cause, at=at)
            return
        end_run(tx, run, RunStatus.FAILED, at=at, actor="superlink", details=cause)


def _require_lease(tx: Tx, token_hash: str) -> Lease:
    lease = tx.leases.find_by_hash(token_hash)
    if lease is None:
        raise TokenRefusedError
    return lease


def _requeue(tx: Tx, run: Run, cause: str, *, at: datetime) -> None:
    tx.runs.save(advance(run, RunStatus.PENDING, at=at), was=run.status)
    details = {"cause": cause}
    tx.events.append(
        at=at, kind="run.requeued", actor="superlink", run_id=run.run_id, details=details
    )
    tx.notify(topics.run(run.run_id))
    tx.notify(topics.APPS)


def _attempts(tx: Tx, run_id: RunId) -> int:
    kinds = [event.kind for event in tx.events.list(run_id=run_id)]
    return kinds.count(_GRANTED) - kinds.count(_TAKEN_BACK)
