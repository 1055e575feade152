"""``flwr build``: make the bundle of an app, and show what went into it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flwr.cli.app_source import (
    HERE,
    AppSource,
    ClientAppOpt,
    DependencyOpt,
    GitTokenFileOpt,
    NameOpt,
    ServerAppOpt,
    open_app,
)
from flwr.cli.options import FormatOpt
from flwr.cli.present import origin_document
from flwr.cli.report import Output, Report, reporting
from flwr.cli.run_config import parse_overrides
from flwr.core.errors import InvalidError

if TYPE_CHECKING:
    from flwr.fab.build import BuiltFab

AppOpt = Annotated[
    str,
    typer.Option(
        "--app", metavar="PATH", help="Folder of the app, or git+https://HOST/OWNER/REPO[@REF]."
    ),
]
ConfigOpt = Annotated[
    list[str] | None,
    typer.Option(
        "--run-config",
        "-c",
        metavar="'KEY=VALUE ...'",
        help="Inline app: its config; repeatable; values are TOML. Or one FILE.toml.",
    ),
]


def build(
    app: AppOpt = HERE,
    server_app: ServerAppOpt = "",
    client_app: ClientAppOpt = "",
    name: NameOpt = "",
    dependency: DependencyOpt = None,
    run_config: ConfigOpt = None,
    git_token_file: GitTokenFileOpt = None,
    output: FormatOpt = Output.TEXT,
) -> None:
    """Bundle an app into a .fab file.

    The file is written to the current folder.  The same files give the same hash.
    """
    with reporting(output) as report:
        source = AppSource(
            app=app,
            server_app=server_app,
            client_app=client_app,
            name=name,
            dependencies=tuple(dependency or ()),
            config=parse_overrides(run_config or []),
            git_token_file=git_token_file,
        )
        if source.is_inline and app != HERE:
            raise InvalidError(
                "--app is for a project; an inline app is its two files",
                hint="leave out --app, or --server-app and --client-app",
            )
        if source.config and not source.is_inline:
            raise InvalidError(
                "--run-config is for inline apps; a project declares its config itself",
                hint="change [tool.flwr.app.config] in the app's pyproject.toml",
            )
        with open_app(source, report) as opened:
            _write(opened.fab, report)


def _write(fab: "BuiltFab", report: Report) -> None:
    path = Path(fab.file_name)
    path.write_bytes(fab.content)
    kept = ("pyproject.toml", *fab.listing.kept)
    for name in kept:
        report.line(f"  kept     {name}")
    for dropped in fab.listing.dropped:
        report.line(f"  dropped  {dropped.path}  ({dropped.why})")
    origin = fab.manifest.origin
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
            **({"origin": origin_document(origin)} if origin else {}),
        },
        text=f"Successfully built {path} (SHA-256 {fab.fab_hash})",
    )
