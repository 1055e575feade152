"""The app a command means: a folder, a git reference, or two files; bundled in each case."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from flwr.cli.report import Report
from flwr.core.errors import InvalidError, UnimplementedError
from flwr.core.run_config import Config

if TYPE_CHECKING:
    from flwr.fab.build import BuiltFab

HERE: Final = "."

ServerAppOpt = Annotated[
    str,
    typer.Option(
        "--server-app",
        metavar="FILE.py:OBJECT",
        help="Inline app, without a project: the ServerApp.",
    ),
]
ClientAppOpt = Annotated[
    str,
    typer.Option(
        "--client-app", metavar="FILE.py:OBJECT", help="Inline app: the ClientApp, in another file."
    ),
]
NameOpt = Annotated[
    str, typer.Option("--name", help="Inline app: its name; left out: made of the files' names.")
]
DependencyOpt = Annotated[
    list[str] | None,
    typer.Option(
        "--dependency",
        metavar="REQUIREMENT",
        help="Inline app: a Python package it needs, as in a project's dependencies; repeatable.",
    ),
]
GitTokenFileOpt = Annotated[
    Path | None,
    typer.Option(
        "--git-token-file",
        metavar="FILE",
        envvar="FLWR_GIT_TOKEN_FILE",
        help="Secret of a private repository (git+https): a token, or USER:TOKEN.",
    ),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class AppSource:
    """What the user said of the app."""

    app: str = HERE  # folder or git reference
    server_app: str = ""
    client_app: str = ""
    name: str = ""
    dependencies: tuple[str, ...] = ()
    config: Config = field(default_factory=dict)  # of an inline app, which declares none
    git_token_file: Path | None = None

    @property
    def is_inline(self) -> bool:
        """True for an app of two files.

        Raises:
            InvalidError: the options of inline apps are incomplete.
        """
        if bool(self.server_app) != bool(self.client_app):
            raise InvalidError(
                "an inline app needs both --server-app and --client-app",
                hint="flwr run --server-app server.py:app --client-app client.py:app",
            )
        if not self.server_app and (self.name or self.dependencies):
            raise InvalidError(
                "--name and --dependency are for inline apps; a project declares them itself",
                hint="change name and dependencies in the app's pyproject.toml",
            )
        return bool(self.server_app)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenedApp:
    """The app as a bundle."""

    fab: "BuiltFab"
    project: Path | None  # the user's own folder, whose connections count
    fetched: Path | None = None  # a stranger's folder, whose connections must be asked for by name


@contextmanager
def open_app(source: AppSource, report: Report) -> Iterator[OpenedApp]:
    """Bundle the app; what had to be fetched or generated for it is gone at exit.

    Raises:
        FlwrError: it cannot be had, or is no app.
    """
    from flwr.fab.git_reference import is_git_reference  # noqa: PLC0415 - as in _open_folder

    if source.is_inline:
        yield _open_inline(source)
    elif is_git_reference(source.app):
        with _open_git(source, report) as app:
            yield app
    else:
        yield _open_folder(source.app, report)


def _open_folder(app: str, report: Report) -> OpenedApp:
    from flwr.fab.build import build_fab  # noqa: PLC0415 - 38 ms that other commands need not wait

    if app.startswith("@"):
        raise UnimplementedError(
            f"{app}: apps from a hosted hub are not supported",
            hint="get the app's sources and give their folder: flwr run PATH",
        )
    path = Path(app).expanduser()
    if not path.is_dir():
        raise InvalidError(
            f"there is no folder {app!r}",
            hint="give the app's folder, git+https://HOST/OWNER/REPO, or two files with "
            "--server-app and --client-app",
        )
    folder = path.absolute()
    fab = build_fab(folder)
    _warn(fab, report)
    return OpenedApp(fab=fab, project=folder)


def _open_inline(source: AppSource) -> OpenedApp:
    from flwr.fab.build import build_fab  # noqa: PLC0415 - as in _open_folder
    from flwr.fab.inline import read_inline_app  # noqa: PLC0415
    from flwr.fab.opened import opened_inline  # noqa: PLC0415

    app = read_inline_app(
        source.server_app,
        source.client_app,
        name=source.name,
        config=source.config,
        dependencies=source.dependencies,
    )
    with opened_inline(app) as folder:
        return OpenedApp(fab=build_fab(folder), project=None)


@contextmanager
def _open_git(source: AppSource, report: Report) -> Iterator[OpenedApp]:
    from flwr.fab.build import build_fab  # noqa: PLC0415 - as in _open_folder
    from flwr.fab.git_reference import parse_git_reference  # noqa: PLC0415
    from flwr.fab.opened import opened_from_git  # noqa: PLC0415

    reference = parse_git_reference(source.app)
    report.note(f"Fetching {reference.url}")
    with opened_from_git(reference, token_file=source.git_token_file) as app:
        report.note(f"Got commit {app.origin.commit}")
        fab = build_fab(app.folder, origin=app.origin)
        _warn(fab, report)
        yield OpenedApp(fab=fab, project=None, fetched=app.folder)


def _warn(fab: "BuiltFab", report: Report) -> None:
    for warning in fab.manifest.warnings:
        report.note(f"Warning: {warning}")
