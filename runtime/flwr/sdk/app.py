"""What may be submitted: a folder, a bundle, a git reference, two files; a bundle in each case."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from flwr.core.errors import InvalidError
from flwr.core.limits import MAX_FAB_BYTES
from flwr.core.run_config import Config, fuse

if TYPE_CHECKING:
    from flwr.fab.manifest import AppManifest

SUFFIX: Final = ".fab"


@dataclass(frozen=True, slots=True, kw_only=True)
class InlineApp:
    """An app of two files, without a project; its run configuration is what is submitted."""

    serverapp: str  # FILE.py:OBJECT
    clientapp: str  # the same, in another file
    name: str = ""  # empty: made of the files' names
    dependencies: Sequence[str] = ()  # Python packages, as in a project's dependencies


App = Path | str | bytes | InlineApp


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle, and what of its run configuration is to be overridden."""

    content: bytes
    overrides: Config


def bundle_app(app: App, config: Config, *, git_token_file: Path | None) -> Bundle:
    """Bundle an app, or check a bundle that was made elsewhere.

    Raises:
        InvalidError: there is nothing there.
        UnknownConfigKeyError: it does not define a key of ``config``.
        FlwrError: (an error of ``fab``) it is no app, or cannot be fetched.
    """
    # 38 ms that others need not wait
    from flwr.fab.build import build_fab  # noqa: PLC0415
    from flwr.fab.git_reference import is_git_reference  # noqa: PLC0415
    from flwr.fab.verify import verify_fab  # noqa: PLC0415

    if isinstance(app, InlineApp):
        return _bundle_inline(app, config)
    if isinstance(app, str) and is_git_reference(app):
        return _bundle_git(app, config, git_token_file)
    if isinstance(app, bytes):
        return _checked(app, verify_fab(app).manifest, config)
    path = Path(app).expanduser()
    if path.is_file() and path.suffix == SUFFIX:
        with path.open("rb") as file:
            content = file.read(MAX_FAB_BYTES + 1)
        return _checked(content, verify_fab(content).manifest, config)
    if not path.is_dir():
        raise InvalidError(
            f"there is neither a folder nor a {SUFFIX} file {str(path)!r}",
            hint="give the app's folder, what `flwr build` wrote, git+https://HOST/OWNER/REPO, "
            "or an InlineApp",
        )
    built = build_fab(path.absolute())
    return _checked(built.content, built.manifest, config)


def _bundle_inline(app: InlineApp, config: Config) -> Bundle:
    """Its configuration is part of the bundle, so nothing is left to override."""
    from flwr.fab.build import build_fab  # noqa: PLC0415
    from flwr.fab.inline import read_inline_app  # noqa: PLC0415
    from flwr.fab.opened import opened_inline  # noqa: PLC0415

    read = read_inline_app(
        app.serverapp,
        app.clientapp,
        name=app.name,
        config=config,
        dependencies=tuple(app.dependencies),
    )
    with opened_inline(read) as folder:
        return Bundle(build_fab(folder).content, {})


def _bundle_git(app: str, config: Config, token_file: Path | None) -> Bundle:
    from flwr.fab.build import build_fab  # noqa: PLC0415
    from flwr.fab.git_reference import parse_git_reference  # noqa: PLC0415
    from flwr.fab.opened import opened_from_git  # noqa: PLC0415

    with opened_from_git(parse_git_reference(app), token_file=token_file) as fetched:
        built = build_fab(fetched.folder, origin=fetched.origin)
    return _checked(built.content, built.manifest, config)


def _checked(content: bytes, manifest: "AppManifest", config: Config) -> Bundle:
    fuse(manifest.config, config)
    return Bundle(content, config)
