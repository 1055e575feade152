"""The app's own process: where user code runs, alone.

It has one socket, to its runner, and for large objects one to its daemon's hatch: no token, no
network, no gRPC, no store.  It confines itself before it loads anything of the app, and before
numpy starts threads: a thread that already runs would stay as it is.  It ends with a report, or
with a crash that the runner sees.
"""

import io
import logging
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Final

from flwr.core.lease import AppKind
from flwr.runner.outcome import (
    REPORT_METHOD,
    ChildExit,
    Outcome,
    Report,
    RunEndedError,
    describe_exception,
)
from flwr.shell.confinement import confine_app
from flwr.shell.death_signal import die_with_parent
from flwr.shell.ending import end
from flwr.wire.pipe import PipeCaller, PipeClosedError
from flwr.wire.transport import Caller

log = logging.getLogger(__name__)

_EXIT_OF: Final = {
    Outcome.COMPLETED: ChildExit.DONE,
    Outcome.FAILED: ChildExit.APP_FAILED,
    Outcome.STOPPED: ChildExit.STOPPED,
}


def main(argv: Sequence[str]) -> int:
    """Run one app and return the exit code of its process.

    Args:
        argv: the kind of app, the descriptor of the socket, a directory that is withheld if any.
    """
    kind, descriptor, *withheld = argv  # argparse costs 0.7 MB and 6 ms
    share_output()
    die_with_parent()
    end_politely_on_sigterm()

    def run(caller: Caller) -> Report:
        prepare(Path(withheld[0]) if withheld else None)
        return _flow(AppKind(kind), caller)

    return report_on(run, socket.socket(fileno=int(descriptor)))


def report_on(run: Callable[[Caller], Report], pipe: socket.socket) -> int:
    """Run an app, tell its runner how it ended, and return the exit code of its process."""
    caller = PipeCaller(pipe)
    report = _report(run, caller)
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        caller.tell(REPORT_METHOD, report.encode())
    except PipeClosedError:
        return ChildExit.RUNNER_LOST
    return _EXIT_OF[report.outcome]


def prepare(withheld: Path | None) -> None:
    """Confine this process for ever, then let the app's logger print; do it before app code.

    Raises:
        LandlockError: see ``confine_app``.
    """
    confine_app(withheld)
    from flwr.app.console_log import configure_console  # noqa: PLC0415

    configure_console()


def _report(run: Callable[[Caller], Report], caller: Caller) -> Report:
    try:
        return run(caller)
    except RunEndedError as ended:
        log.info("Run has ended: %s", ended)
        return Report(Outcome.STOPPED, str(ended))
    except Exception as error:  # noqa: BLE001  # the report is the only way to say it
        traceback.print_exc()
        return Report(Outcome.FAILED, describe_exception(error))


def _flow(kind: AppKind, caller: Caller) -> Report:
    # Each side loads only its own half of the app API.
    if kind is AppKind.SERVERAPP:
        from flwr.runner.serverapp_flow import run_serverapp  # noqa: PLC0415

        return run_serverapp(caller)
    from flwr.runner.clientapp_flow import run_clientapp  # noqa: PLC0415

    return run_clientapp(caller)


def share_output() -> None:
    """Send standard error the way of standard output, so that their order is kept."""
    os.dup2(sys.stdout.fileno(), sys.stderr.fileno())
    for stream in (sys.stdout, sys.stderr):
        assert isinstance(stream, io.TextIOWrapper)
        stream.reconfigure(line_buffering=True, errors="backslashreplace")


def end_politely_on_sigterm() -> None:
    """End the app on SIGTERM as if its run had ended; a second one ends the process."""
    signal.signal(signal.SIGTERM, _stop)


def _stop(_number: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    raise RunEndedError("the app was told to stop")


if __name__ == "__main__":
    end(main(sys.argv[1:]))
