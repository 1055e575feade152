"""That a run is running, as the transaction of whoever works for it sees it."""

from flwr.core.ids import RunId
from flwr.core.run import RunNotFoundError, RunNotRunningError, RunStatus
from flwr.store.store import Tx


def require_running(tx: Tx, run_id: RunId) -> None:
    """Check that a run is running.

    Raises:
        RunNotFoundError: there is none such.
        RunNotRunningError: it is in any other state.
    """
    status = tx.runs.status(run_id)
    if status is None:
        raise RunNotFoundError(run_id)
    if status is not RunStatus.RUNNING:
        raise RunNotRunningError(status)


def require_running_for_node(tx: Tx, run_id: RunId) -> None:
    """Check the same for a node: to it an unknown run is a finished one, and it drops its work.

    Raises:
        RunNotRunningError: it is not running.
    """
    status = tx.runs.status(run_id) or RunStatus.FAILED
    if status is not RunStatus.RUNNING:
        raise RunNotRunningError(status)
