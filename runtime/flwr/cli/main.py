"""The ``flwr`` command: which commands exist.  What each does is in the file of its name.

Only the command that is asked for is loaded: the others would take as long as many a command does.
"""

import os
import sys
import traceback
from collections.abc import Iterable, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Annotated, Any, Final, NoReturn

import typer

from flwr import __version__
from flwr.cli.environment import Environment, system_environment
from flwr.cli.report import INTERRUPTED, failure_document, print_document
from flwr.shell.exits import ExitCode, heed_sigterm

_VERSION: Final = ("--version", "-V")
_HELP_NAMES: Final = {"help_option_names": ["-h", "--help"]}
_COMMANDS: Final = {  # the name of each, where it is; in the order of the help
    "new": "new:new",
    "run": "run:run",
    "list": "list:list_runs",
    "log": "log:log",
    "stop": "stop:stop",
    "build": "build:build",
    "install": "install:install",
    "login": "login:login",
    "pull": "pull:pull",
    "ls": "list:list_runs",
}
_GROUPS: Final = {
    "supernode": "supernode:supernode",
    "federation": "federation:federation",
    "app": "app:app",
    "config": "config:config",
    "local": "local:local",
}
_ALL: Final = (*_COMMANDS, *_GROUPS)
_HIDDEN: Final = frozenset({"ls"})
IN_LINES: Final = frozenset({"log"})  # commands that print one JSON document a line
_PIPE_CLOSED: Final = 141  # 128 + SIGPIPE, what shells expect
# What a wrong command line raises; it lives at different places in typer's releases.
_CommandLineError: Any = typer.BadParameter.__mro__[2]


def _version(wanted: bool) -> None:
    if wanted:
        sys.stdout.write(f"Flower version: {__version__}\n")
        raise typer.Exit


def make_app(names: Iterable[str] = _ALL) -> typer.Typer:
    """Return the command line with the named commands, and load these."""
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
                *_VERSION,
                callback=_version,
                is_eager=True,
                help="Show the version and exit.",
            ),
        ] = False,
    ) -> None:
        """Run federated apps on a SuperLink and its SuperNodes."""
        del version  # handled by its callback

    for name in names:
        if name in _COMMANDS:
            app.command(name, hidden=name in _HIDDEN)(_load(_COMMANDS[name]))
        else:
            app.add_typer(_load(_GROUPS[name]), name=name)
    return app


def _load(place: str) -> Any:
    module, _, attribute = place.partition(":")
    return getattr(import_module(f"flwr.cli.{module}"), attribute)


def _asked_for(given: Sequence[str]) -> Iterable[str]:
    """Return the commands that may be meant: all of them where we have to tell which there are."""
    first = given[0] if given else ""
    if first in _VERSION:
        return ()
    return (first,) if first in _ALL else _ALL


def main(arguments: Sequence[str] | None = None, environment: Environment | None = None) -> None:
    """Run one command and exit with its code.

    Args:
        arguments: of the command; None: this process is the program, and ends with it.
        environment: None: the real one.
    """
    heed_sigterm()
    given = list(sys.argv[1:] if arguments is None else arguments)
    surroundings = environment or system_environment()
    try:
        app = make_app(_asked_for(given))
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
    if arguments is None:
        _end(code or 0)
    sys.exit(code or 0)


def _end(code: int) -> NoReturn:
    """End the program now: taking the interpreter apart takes longer than many a command does."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(code)


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
