"""What may be submitted: an app's folder, a bundle's file, or a bundle's bytes."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flwr.core.errors import InvalidError
from flwr.core.limits import MAX_FAB_BYTES

if TYPE_CHECKING:
    from flwr.fab.manifest import AppManifest

SUFFIX = ".fab"


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle and what it says of itself."""

    content: bytes
    manifest: "AppManifest"


def read_app(app: Path | str | bytes) -> Bundle:
    """Bundle a folder, or check a bundle that was made elsewhere.

    Raises:
        InvalidError: there is nothing there.
        AppBuildError: (or another error of ``fab.errors``) it is no app.
    """
    from flwr.fab.build import build_fab  # noqa: PLC0415 - 38 ms that others need not wait
    from flwr.fab.verify import verify_fab  # noqa: PLC0415

    if isinstance(app, bytes):
        return Bundle(app, verify_fab(app).manifest)
    path = Path(app).expanduser()
    if path.is_file() and path.suffix == SUFFIX:
        with path.open("rb") as file:
            content = file.read(MAX_FAB_BYTES + 1)
        return Bundle(content, verify_fab(content).manifest)
    if not path.is_dir():
        raise InvalidError(
            f"there is neither a folder nor a {SUFFIX} file {str(path)!r}",
            hint="give the app's folder, or what `flwr build` wrote",
        )
    built = build_fab(path.absolute())
    return Bundle(built.content, built.manifest)
