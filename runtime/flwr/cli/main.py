"""The ``flwr`` command: which commands exist.  What each does is in the file of its name."""

import json
import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final

import typer

from flwr import __version__
from flwr.cli.build import build
from flwr.cli.config import config
from flwr.cli.environment import Environment, system_environment
from flwr.cli.federation import federation
from flwr.cli.install import install
from flwr.cli.list import list_runs
from flwr.cli.local import local
from flwr.cli.log import log
from flwr.cli.new import new
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
}
_GROUPS: Final = {
    "supernode": supernode,
    "federation": federation,
    "config": config,
    "local": local,
}
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
        add_completion=False,
    )

    @app.callback()
    def flwr(
        version: Annotated[
            bool,
            typer.Option("--version", "-V", callback=_version, is_eager=True, help="Show it."),
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
    except _CommandLineError as error:
        sys.exit(_report_usage(error, given))
    except typer.Abort:
        sys.exit(int(ExitCode.BUG))
    sys.exit(code or 0)


def _report_usage(error: Any, given: Sequence[str]) -> int:
    """Print a wrong command line: in JSON form if that was asked for."""
    text = " ".join(given)
    if "--format json" in text or "--format=json" in text:
        document = {"success": False, "error-message": error.format_message()}
        sys.stdout.write(json.dumps(document, indent=2) + "\n")
    else:
        error.show()
    return int(ExitCode.USAGE)
