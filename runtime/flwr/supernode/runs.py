"""The runs this node works for: admitted once with their bundle, wiped when they end."""

import logging
import threading
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from flwr.core.clock import Clock
from flwr.core.errors import ErrorKind
from flwr.core.ids import FabHash, RunId
from flwr.core.run import Run, RunStatus, advance
from flwr.store.fabs import Fab
from flwr.store.store import Store, Tx
from flwr.supernode.identity import NodeIdentity
from flwr.supernode.replies import ACTOR

logger = logging.getLogger(__name__)

RUN_OVER: Final = frozenset({ErrorKind.NOT_RUNNING, ErrorKind.DENIED})
"""What PERMISSION_DENIED on Fleet comes out as: the run is not running (wire contract §6)."""

FABS_KEPT: Final = 32  # bundles of ended runs, in case a next run has the same; 10 MiB each at most


class RunBook:
    """Operations on the runs of this node; the live ones are looked up without the store.

    In a transaction a run that is found here is live: it is left out before its end is committed,
    and comes in after its admission is.
    """

    def __init__(self, store: Store, clock: Clock, identity: NodeIdentity) -> None:
        self._store, self._clock, self._identity = store, clock, identity
        self._changing = threading.Lock()  # held around the transactions that change what is live
        with store.reading() as tx:
            self._live = {run.run_id: run for run in tx.runs.unfinished()}

    def find_live(self, run_id: RunId) -> Run | None:
        """Return a run admitted earlier and not known to have ended."""
        return self._live.get(run_id)

    def find_fab(self, fab_hash: FabHash) -> Fab | None:
        """Return a bundle fetched earlier, for whichever run."""
        with self._store.reading() as tx:
            return tx.fabs.find(fab_hash)

    def admit(self, run: Run, fab: Fab | None) -> bool:
        """Remember a run and its bundle, None if that was refused; False when it ended before."""
        now = self._clock.now()
        live = replace(run, status=RunStatus.RUNNING, finished_at=None)
        with self._changing:
            with self._store.transaction() as tx:
                if fab is not None:  # one found here may have been deleted meanwhile
                    tx.fabs.put(fab.hash, fab.content, fab.verifications)
                if (known := tx.runs.find(run.run_id)) is not None:
                    return not known.is_final
                tx.runs.add(live)
                tx.events.append(at=now, kind="run-admitted", actor=ACTOR, run_id=run.run_id)
                if len(tx.fabs.unused()) > FABS_KEPT:
                    tx.fabs.delete_unused()
            self._live[run.run_id] = live
        return True

    def live(self) -> list[RunId]:
        """Return every run that has not ended as far as this node knows."""
        return list(self._live)

    def with_apps(self) -> list[RunId]:
        """Return the runs that have an app process now."""
        with self._store.reading() as tx:
            return sorted({lease.run_id for lease in tx.leases.list()})

    def end(self, run_ids: Iterable[RunId], *, why: str) -> list[RunId]:
        """Forget all work of runs that have ended; their tokens die, so their apps stop.

        Returns:
            Those that had not been ended before.
        """
        with self._changing:
            ending = [run for i in dict.fromkeys(run_ids) if (run := self._live.pop(i, None))]
            if not ending:
                return []
            try:
                with self._store.transaction() as tx:
                    for run in ending:
                        self._wipe(tx, run, why)
            except BaseException:
                self._live.update((run.run_id, run) for run in ending)
                raise
        for run in ending:
            logger.info("A run has ended", extra={"event": "run-ended", "run_id": run.run_id})
        return [run.run_id for run in ending]

    def end_all(self, *, why: str) -> None:
        """Forget the work of every run: the SuperLink does not know this node any more."""
        self.end(self.live(), why=why)

    def _wipe(self, tx: Tx, run: Run, why: str) -> None:
        now, run_id = self._clock.now(), run.run_id
        for lease in tx.leases.for_run(run_id):
            tx.leases.end(lease.token_hash)
        tx.messages.delete_run(run_id)
        tx.contexts.delete_run(run_id)
        # How it ended is the SuperLink's to say; here it only matters that it did.
        tx.runs.save(advance(run, RunStatus.COMPLETED, at=now, details=why), was=run.status)
        tx.events.append(
            at=now, kind="run-ended", actor=ACTOR, run_id=run_id, details={"cause": why}
        )
        tx.notify("apps")
        tx.notify(f"run:{run_id}")
