"""The command ``flwr-simulation``: one app, many virtual nodes, no server and no socket."""

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from types import FrameType
from typing import Any, Final

from flwr.app import Context, RecordDict
from flwr.app.console_log import configure_console
from flwr.core.errors import FlwrError
from flwr.core.ids import SUPERLINK_NODE, new_run_id
from flwr.core.run_config import fuse
from flwr.fab.load import install, load
from flwr.fab.verify import hash_fab
from flwr.serverapp import ServerApp
from flwr.serverapp.exception import RunNotRunningException
from flwr.shell.exits import ExitCode, report_failure, run_program
from flwr.simulation.app_bundle import read_bundle
from flwr.simulation.backends import require_backend
from flwr.simulation.config import (
    PROGRAM,
    SimulationSettings,
    become_runner,
    is_launch,
    load_config,
)
from flwr.simulation.engine import Simulation, open_grid
from flwr.simulation.run import describe_run

_EXIT_OF_SIGNAL: Final = 128  # plus its number, as a shell would say it


class _StoppedError(RunNotRunningException):
    """Somebody sent SIGTERM or SIGINT; no ``Exception``, so that no app keeps us alive."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number


@dataclass(frozen=True, slots=True)
class _Ending:
    """How the run ended, and with which exit code."""

    status: str  # completed, failed, stopped
    code: int
    cause: str = ""


def main() -> int:
    """Run the command and return its exit code."""
    if is_launch(sys.argv[1:]):
        become_runner(sys.argv[1:])
    return run_program(PROGRAM, _main)


def _main() -> int:
    settings = load_config(sys.argv[1:])
    if settings is None:
        return ExitCode.DONE
    document = _document_output() if settings.is_json else None
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    configure_console(level=settings.log_level)
    started = time.monotonic()
    facts: dict[str, Any] = {}
    try:
        ending = _simulate(settings, facts)
    except FlwrError as error:
        ending = _Ending("failed", report_failure(PROGRAM, error), error.message)
        facts["hint"] = error.hint
    except _StoppedError as stopped:
        ending = _Ending("stopped", _EXIT_OF_SIGNAL + stopped.number, str(stopped))
    sys.stdout.flush()
    facts["seconds"] = round(time.monotonic() - started, 3)
    if document is not None or not settings.is_quiet:
        _report(ending, facts, document)
    return ending.code


def _simulate(settings: SimulationSettings, facts: dict[str, Any]) -> _Ending:
    require_backend(settings.backend)
    bundle = read_bundle(settings)
    app = install(bundle, hash_fab(bundle))
    run_config = fuse(app.manifest.config, settings.run_config)
    run = describe_run(
        new_run_id(),
        fab_id=app.manifest.fab_id,
        fab_version=app.manifest.version,
        fab_hash=app.fab_hash,
    )
    run.override_config = dict(settings.run_config)
    facts.update({"run-id": str(run.run_id), "app": run.fab_id, "fab-hash": run.fab_hash})
    simulation = Simulation(
        client_app=app.manifest.clientapp,
        run=run,
        bundle=bundle,
        starts_fresh=(
            app.manifest.wants_fresh_start
            if settings.starts_fresh is None
            else settings.starts_fresh
        ),
        run_config=run_config,
        num_supernodes=settings.num_supernodes,
        workers=settings.workers,
        backend=settings.backend,
        needs=settings.needs,
        init_args=settings.init_args,
    )
    context = Context(run.run_id, SUPERLINK_NODE, {}, RecordDict(), dict(run_config))
    with open_grid(simulation) as grid:
        facts.update({"num-supernodes": settings.num_supernodes, "workers": grid.plan.workers})
        try:
            load(app.manifest.serverapp, ServerApp)(grid, context)
        except SystemExit as left:
            if left.code not in {None, 0}:
                return _failed(left)
        except Exception as error:  # noqa: BLE001  # whatever user code raises ends its run
            return _failed(error)
        finally:
            facts["messages"] = {"answered": grid.tally.answered, "failed": grid.tally.failed}
    return _Ending("completed", ExitCode.DONE)


def _failed(error: BaseException) -> _Ending:
    traceback.print_exception(error)
    text = f"{type(error).__name__}: {error}"
    return _Ending("failed", ExitCode.WRONG_STATE, f"the ServerApp raised {text}")


def _document_output() -> int:
    """Send whatever the app prints to standard error; return where the document goes."""
    document = os.dup(1)
    os.dup2(2, 1)
    return document


def _report(ending: _Ending, facts: Mapping[str, Any], document: int | None) -> None:
    if document is None:
        messages = facts.get("messages", {"answered": 0, "failed": 0})
        sys.stderr.write(
            f"{PROGRAM}: {ending.status} in {facts['seconds']:.1f} s, {messages['answered']} "
            f"messages answered ({messages['answered'] / max(facts['seconds'], 1e-3):.0f}/s), "
            f"{messages['failed']} of them with an error"
            f"{': ' + ending.cause if ending.cause else ''}\n"
        )
        return
    said: dict[str, Any] = {"success": ending.code == ExitCode.DONE, "status": ending.status}
    if ending.cause:
        said["error-message"] = ending.cause
    with os.fdopen(document, "w", encoding="utf-8") as output:
        output.write(json.dumps({**said, **facts}, indent=2) + "\n")


def _stop(number: int, _frame: FrameType | None) -> None:
    """End the run; a second signal ends the process at once."""
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, signal.SIG_DFL)
    raise _StoppedError(number)


if __name__ == "__main__":
    sys.exit(main())
