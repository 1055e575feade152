"""What a ServerApp's own process does: take its inputs, run the app, hand its context back."""

import logging
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from typing import Final

import numpy.random  # noqa: F401  # nearly every app uses it: loaded while this process stands by

from flwr.app import depot
from flwr.core.errors import FailedPreconditionError
from flwr.core.run import RunType
from flwr.core.run_config import fuse
from flwr.fab.load import install, load
from flwr.fab.manifest import AppManifest
from flwr.runner.app_caller import AppCaller
from flwr.runner.grid import AppIoGrid
from flwr.runner.outcome import Outcome, Report, RunEndedError, describe_exception
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.exception import RunNotRunningException
from flwr.serverapp.run_info import describe
from flwr.shell.process_name import STANDS_BY, name_process
from flwr.wire.clients.appio import AppInputs, ServerAppIoClient
from flwr.wire.transport import Caller

log = logging.getLogger(__name__)

_NAME: Final = "flwr-serverapp"


class _RunEndedError(RunEndedError, RunNotRunningException):
    """The run has ended, under the name apps know it by."""


def run_serverapp(pipe: Caller) -> Report:
    """Run the ServerApp to its end and say how it ended.

    Raises:
        RunEndedError: the run was ended by somebody else.
        FlwrError: the SuperLink could not be reached.
    """
    caller = AppCaller(pipe, _RunEndedError)
    appio = ServerAppIoClient(caller)
    name_process(STANDS_BY)
    inputs = appio.pull_inputs()
    name_process(_NAME)
    try:
        _run(inputs, caller)
    except RunEndedError:
        raise
    except SystemExit as error:
        if error.code not in {None, 0}:
            return _failed(error)
    except BaseException as error:  # noqa: BLE001  # the run must end, whatever user code raises
        return _failed(error)
    sys.stdout.flush()
    appio.push_outputs(inputs.context)
    return Report(Outcome.COMPLETED)


def _run(inputs: AppInputs, caller: AppCaller) -> None:
    if inputs.fab is None:
        raise FailedPreconditionError("the SuperLink sent no app bundle")
    installed = install(inputs.fab.content, inputs.run.fab_hash)
    context = inputs.context
    context.run_config = fuse(installed.manifest.config, inputs.run.override_config)
    app = load(installed.manifest.serverapp, ServerApp)
    with _grid(inputs, installed.manifest, caller) as grid:
        app(grid, context)


def _grid(inputs: AppInputs, app: AppManifest, caller: AppCaller) -> AbstractContextManager[Grid]:
    """Return the way to the nodes: over the SuperLink, or to virtual ones right here."""
    run = describe(inputs.run)
    if inputs.run.run_type is not RunType.SIMULATION:
        return _remote(AppIoGrid(caller, run))
    # Only simulations pay for loading it.
    from flwr.simulation.engine import open_grid, simulation_of  # noqa: PLC0415

    config = inputs.context.run_config
    bundle = None if inputs.fab is None else inputs.fab.content
    return open_grid(simulation_of(inputs.simulation, app, run, config, bundle))


@contextmanager
def _remote(grid: AppIoGrid) -> Iterator[Grid]:
    depot.begin(grid.deposit)
    try:
        with closing(grid):
            yield grid
    finally:
        depot.end()


def _failed(error: BaseException) -> Report:
    log.error("ServerApp raised an exception", exc_info=error)
    return Report(Outcome.FAILED, describe_exception(error))
