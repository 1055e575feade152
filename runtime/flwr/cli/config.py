"""``flwr config``: the connections the CLI knows."""

from pathlib import Path
from typing import Final

import typer

from flwr.cli.environment import environment_of
from flwr.cli.options import FormatOpt
from flwr.cli.report import Output, reporting
from flwr.control.connection import known_names, read_config, read_project

_HEADINGS: Final = ("Connection", "Defined in", "Default")

config = typer.Typer(help="Show the CLI's own configuration.", no_args_is_help=True)


@config.command("ls", hidden=True)
@config.command("list")
def list_connections(ctx: typer.Context, output: FormatOpt = Output.TEXT) -> None:
    """List the SuperLink connections, those of the project here first (alias: ls)."""
    environment = environment_of(ctx)
    with reporting(output) as report:
        files = [*read_project(Path.cwd()), read_config(environment.config_file)]
        names = known_names(files)
        default = next((file.default for file in files if file.default), None)
        report.line(f"Configuration file: {environment.config_file}")
        report.table(
            _HEADINGS,
            [(n, where, "yes" if n == default else "") for n, where in names.items()],
        )
        report.result({"superlink": list(names), "default": default})
