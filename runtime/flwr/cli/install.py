"""``flwr install``: check a bundle and unpack it below FLWR_HOME."""

from pathlib import Path
from typing import Annotated

import typer

from flwr.cli.environment import environment_of
from flwr.cli.options import FormatOpt
from flwr.cli.report import Output, reporting
from flwr.core.errors import InvalidError
from flwr.core.limits import MAX_FAB_BYTES

SourceArg = Annotated[Path, typer.Argument(metavar="FILE.fab", help="The bundle.")]


def install(ctx: typer.Context, source: SourceArg, output: FormatOpt = Output.TEXT) -> None:
    """Install a bundle after checking every file of it."""
    from flwr.fab.install import install_fab  # noqa: PLC0415 - 38 ms that other commands need not wait

    environment = environment_of(ctx)
    with reporting(output) as report:
        if source.suffix != ".fab" or not source.is_file():
            raise InvalidError(f"{str(source)!r} is not a .fab file")
        with source.open("rb") as file:
            content = file.read(MAX_FAB_BYTES + 1)
        installed = install_fab(content, environment.apps_dir)
        report.result(
            {
                "success": True,
                "fab-id": installed.manifest.fab_id,
                "fab-version": installed.manifest.version,
                "fab-hash": installed.fab_hash,
                "path": str(installed.path),
            },
            text=f"Successfully installed {installed.manifest.fab_id} to {installed.path}",
        )
