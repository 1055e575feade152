"""The ``flwr`` command: which commands exist.  What each does is in the file of its name."""

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final

import typer

from flwr import __version__
from flwr.cli.app import app as app_group
from flwr.cli.build import build
from flwr.cli.config import config
from flwr.cli.environment import Environment, system_environment
from flwr.cli.federation import federation
from flwr.cli.install import install
from flwr.cli.list import list_runs
from flwr.cli.local import local
from flwr.cli.log import log
from flwr.cli.login import login
from flwr.cli.new import new
from flwr.cli.pull import pull
from flwr.cli.report import INTERRUPTED, failure_document, print_document
from flwr.cli.run import run
from flwr.cli.stop import stop
from flwr.cli.supernode import supernode
from flwr.shell.exits import ExitCode, heed_sigterm

_HELP_NAMES: Final = {"help_option_names": ["-h", "--help"]}
_COMMANDS: Final[dict[str, Callable[..., None]]] = {
    "new": new,
    "run": run,
    "list": list_runs,
    "log": log,
    "stop": stop,
    "build": build,
    "install": install,
    "login": login,
    "pull": pull,
}
_GROUPS: Final = {
    "supernode": supernode,
    "federation": federation,
    "app": app_group,
    "config": config,
    "local": local,
}
IN_LINES: Final = frozenset({"log"})  # commands that print one JSON document a line
_PIPE_CLOSED: Final = 141  # 128 + SIGPIPE, what shells expect
# What a wrong command line raises; it lives at different places in typer's releases.
_CommandLineError: Any = typer.BadParameter.__mro__[2]


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"Flower version: {__version__}\n")
        raise typer.Exit


def _make_app() -> typer.Typer:
    app = typer.Typer(
        no_args_is_help=True,
        context_settings=_HELP_NAMES,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # plain help: it loads at once, and reads the same in a pipe
    )

    @app.callback()
    def flwr(
        version: Annotated[
            bool,
            typer.Option(
                "--version",
                "-V",
                callback=_version,
                is_eager=True,
                help="Show the version and exit.",
            ),
        ] = False,
    ) -> None:
        """Run federated apps on a SuperLink and its SuperNodes."""
        del version  # handled by its callback

    for name, command in _COMMANDS.items():
        app.command(name)(command)
    app.command("ls", hidden=True)(list_runs)
    for name, group in _GROUPS.items():
        app.add_typer(group, name=name)
    return app


app = _make_app()


def main(arguments: Sequence[str] | None = None, environment: Environment | None = None) -> None:
    """Run one command and exit with its code."""
    heed_sigterm()
    given = list(sys.argv[1:] if arguments is None else arguments)
    surroundings = environment or system_environment()
    try:
        code = app(given, prog_name="flwr", standalone_mode=False, obj=surroundings)
        sys.stdout.flush()
    except _CommandLineError as error:
        code = _report_usage(error, given)
    except typer.Abort:  # at a question
        code = INTERRUPTED
    except BrokenPipeError:
        code = _leave_pipe()
    except SystemExit as end:
        if not isinstance(end.__context__, BrokenPipeError):  # which typer turns into an exit
            raise
        code = _leave_pipe()
    except Exception as bug:  # noqa: BLE001 - the last one to see it: whoever reads JSON is told too
        code = _report_bug(bug, given)
    sys.exit(code or 0)


def _report_usage(error: Any, given: Sequence[str]) -> int:
    """Print a wrong command line: in JSON form if that was asked for."""
    if _wants_json(given):
        _print_failure(error.format_message(), given)
    else:
        error.show()
    return int(ExitCode.USAGE)


def _report_bug(bug: Exception, given: Sequence[str]) -> int:
    """Print what nobody expected: for whoever mends it, and in JSON form if that was asked for."""
    traceback.print_exception(bug)
    if _wants_json(given):
        _print_failure(f"a bug of flwr: {type(bug).__name__}: {bug}", given)
    return int(ExitCode.BUG)


def _leave_pipe() -> int:
    """Stop quietly: whoever read our output has enough of it."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
    return _PIPE_CLOSED


def _wants_json(given: Sequence[str]) -> bool:
    text = " ".join(given)
    return "--format json" in text or "--format=json" in text


def _print_failure(message: str, given: Sequence[str]) -> None:
    print_document(failure_document(message), in_one_line=given[0] in IN_LINES)
