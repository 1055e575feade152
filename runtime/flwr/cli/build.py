"""``flwr build``: make the bundle of an app, and show what went into it."""

from pathlib import Path
from typing import Annotated

import typer

from flwr.cli.options import FormatOpt
from flwr.cli.report import Output, reporting
from flwr.core.errors import InvalidError

AppOpt = Annotated[Path, typer.Option("--app", metavar="PATH", help="Folder of the app.")]


def build(app: AppOpt = Path(), output: FormatOpt = Output.TEXT) -> None:
    """Bundle an app into a .fab file.

    The file is written to the current folder.  The same files give the same hash.
    """
    from flwr.fab.build import build_fab  # noqa: PLC0415 - 38 ms that other commands need not wait

    with reporting(output) as report:
        if not app.is_dir():
            raise InvalidError(f"there is no folder {str(app)!r}")
        fab = build_fab(app.absolute())
        for warning in fab.manifest.warnings:
            report.note(f"Warning: {warning}")
        path = Path(fab.file_name)
        path.write_bytes(fab.content)
        kept = ("pyproject.toml", *fab.listing.kept)
        for name in kept:
            report.line(f"  kept     {name}")
        for dropped in fab.listing.dropped:
            report.line(f"  dropped  {dropped.path}  ({dropped.why})")
        report.result(
            {
                "success": True,
                "path": str(path),
                "fab-id": fab.manifest.fab_id,
                "fab-version": fab.manifest.version,
                "fab-hash": fab.fab_hash,
                "size-bytes": len(fab.content),
                "kept": list(kept),
                "dropped": [{"path": d.path, "why": d.why} for d in fab.listing.dropped],
            },
            text=f"Successfully built {path} (SHA-256 {fab.fab_hash})",
        )
