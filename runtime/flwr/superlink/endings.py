"""The end of a run: everything that stops existing with it, in one transaction.

Whoever ends a run (the app, a person, a lapsed lease) ends it through ``end_run``, so no path can
forget a lease, a queued instruction, an object or somebody who waits.
"""

import logging
from datetime import datetime

from flwr.core.run import Run, RunStatus, advance
from flwr.store.store import Tx
from flwr.superlink import topics

logger = logging.getLogger(__name__)


def end_run(
    tx: Tx,
    run: Run,
    to: RunStatus,
    *,
    at: datetime,
    actor: str,
    details: str = "",
) -> Run:
    """Move ``run`` to a final status; its leases, messages and objects go with it.

    Contexts, logs and events stay: people read them after the run.

    Raises:
        RunTransitionError: the run may not move there; nothing changed.
    """
    ended = advance(run, to, at=at, details=details)
    tx.runs.save(ended, was=run.status)
    for lease in tx.leases.for_run(run.run_id):
        tx.leases.end(lease.token_hash)
    tx.messages.delete_run(run.run_id)
    tx.events.append(
        at=at,
        kind=f"run.{to}",
        actor=actor,
        run_id=run.run_id,
        details={"cause": details, "was": str(run.status)},
    )
    tx.notify(topics.run(run.run_id))
    tx.notify(topics.ended(run.run_id))
    tx.notify(topics.log(run.run_id))
    tx.notify(topics.APPS)
    logger.info(
        "Run ended",
        extra={"event": "run-ended", "run_id": run.run_id, "status": str(to), "cause": details},
    )
    return ended
