"""``flwr install``: check a bundle and unpack it below FLWR_HOME."""

import re
import sys
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Final

import typer

from flwr.cli.environment import environment_of
from flwr.cli.options import FormatOpt
from flwr.cli.present import SHOWN_HASH
from flwr.cli.report import Output, Report, reporting
from flwr.core.errors import InvalidError
from flwr.core.limits import MAX_FAB_BYTES

SourceArg = Annotated[
    Path | None,
    typer.Argument(metavar="FILE.fab", help="The bundle; on a terminal it is asked for."),
]
_HASH_IN_NAME: Final = re.compile(r".*\.([0-9a-f]{8})\.fab", re.ASCII)


class RenamedBundleError(InvalidError):
    """The file is not the bundle its name says."""

    def __init__(self, source: Path, found: str) -> None:
        """Show both."""
        super().__init__(
            f"{source.name} is named after another bundle: its own hash begins with {found}",
            hint="get the bundle again, or give the file its right name if you trust it",
        )


def install(ctx: typer.Context, source: SourceArg = None, output: FormatOpt = Output.TEXT) -> None:
    """Install a bundle after checking every file of it."""
    from flwr.fab.install import install_fab  # noqa: PLC0415 - 38 ms that other commands need not wait

    environment = environment_of(ctx)
    with reporting(output) as report:
        path = source or _ask_source(report)
        if path.suffix != ".fab" or not path.is_file():
            raise InvalidError(f"{str(path)!r} is not a .fab file")
        with path.open("rb") as file:
            content = file.read(MAX_FAB_BYTES + 1)
        _check_name(path, content)
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


def _ask_source(report: Report) -> Path:
    if report.is_json or not sys.stdin.isatty():
        raise InvalidError("no bundle is named", hint="flwr install FILE.fab")
    return Path(typer.prompt("Bundle (.fab file)"))


def _check_name(path: Path, content: bytes) -> None:
    """Refuse a file whose name bears the hash of another bundle.

    Raises:
        RenamedBundleError: it does.
    """
    named = _HASH_IN_NAME.fullmatch(path.name)
    found = sha256(content).hexdigest()[:SHOWN_HASH]
    if named and named[1] != found:
        raise RenamedBundleError(path, found)
