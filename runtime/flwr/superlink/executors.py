"""Why a run is pending, in words: it waits for somebody who launches its ServerApp."""

from dataclasses import replace
from typing import Final

from flwr.core.app_choice import AppChoice
from flwr.core.run import Run, RunStatus

_NOBODY: Final = (
    "waiting for a SuperExec: none is connected to the ServerAppIo API; "
    "start flower-superexec --plugin-type serverapp"
)
_BUSY: Final = "waiting for a SuperExec to have room"
_OTHERS_ONLY: Final = (
    "waiting for a SuperExec that serves {app}: those connected serve only {served}; "
    "start one with --only-apps {app}"
)


def explain(run: Run, served: AppChoice | None, *, others_run: bool) -> Run:
    """Return ``run`` with the reason why it is pending, if it is.

    Args:
        run: any run.
        served: the apps that connected executors launch; None: no executor is connected.
        others_run: some run has its ServerApp; a SuperExec that is full does not ask for more.
    """
    if run.status is not RunStatus.PENDING:
        return run
    if served is None:
        return replace(run, details=_BUSY if others_run else _NOBODY)
    if served.admits(run.fab_id):
        return replace(run, details=_BUSY)
    return replace(run, details=_OTHERS_ONLY.format(app=run.fab_id, served=served))
