"""An app's folder made into a bundle: the same files give the same bytes on every machine."""

import hashlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import tomli_w

from flwr.core.ids import FabHash
from flwr.core.limits import MAX_FAB_BYTES, MAX_PYPROJECT_BYTES
from flwr.core.origin import Origin
from flwr.fab.collect import FileListing, collect
from flwr.fab.entry import check_entry, module_path
from flwr.fab.errors import AppBuildError, FabTooLargeError
from flwr.fab.format_version import LICENSE_FILES
from flwr.fab.manifest import ORIGIN_TABLE, AppManifest, check_document, parse_document
from flwr.fab.verify import CONTENT_LIST, PYPROJECT, hash_fab, verify_fab

_DATE: Final = (2024, 10, 1, 0, 0, 0)  # contract §13: no clock enters a bundle
_UNIX: Final = 3
_MODE: Final = 0o600 << 16
_SHOWN_HASH: Final = 8  # hex digits, in file names only; never compared
_LARGEST_SHOWN: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltFab:
    """A bundle in memory, and what it was made of."""

    content: bytes
    fab_hash: FabHash
    manifest: AppManifest
    listing: FileListing

    @property
    def file_name(self) -> str:
        """Name of the bundle as a file (contract §13)."""
        app = self.manifest
        version = app.version.replace(".", "-")
        return f"{app.publisher}.{app.name}.{version}.{self.fab_hash[:_SHOWN_HASH]}.fab"


def build_fab(app_dir: Path, *, origin: Origin | None = None) -> BuiltFab:
    """Bundle the app in ``app_dir``.

    Args:
        app_dir: its folder; nothing in it is changed.
        origin: the commit that the folder holds, None where nobody vouches for one.  It is part of
            the bundle, hence of its hash, and takes the place of any origin the folder declares.

    Raises:
        AppBuildError: the folder holds no app, or a pattern is wrong.
        ManifestError: its ``pyproject.toml`` has problems.
        AppEntryError: a component is not defined in the app, or its file is left out.
        FabTooLargeError: the bundle exceeds ``MAX_FAB_BYTES``.
    """
    document = _with_origin(_load_document(app_dir), origin)
    manifest = check_document(document)
    listing = collect(app_dir, manifest)
    for entry in (manifest.serverapp, manifest.clientapp):
        check_entry(entry, app_dir)
        module_path(entry, listing.kept)
    if manifest.format_version and not set(LICENSE_FILES) & set(listing.kept):
        raise AppBuildError("fab-format-version 1 needs the licence file inside the bundle")
    files = {PYPROJECT: _rewrite(document)}
    _check_size(app_dir, listing)
    files |= {path: (app_dir / path).read_bytes() for path in listing.kept}
    content = _zip(files)
    if len(content) > MAX_FAB_BYTES:
        raise _too_large(len(content), {path: len(data) for path, data in files.items()})
    verify_fab(content)  # whatever we hand out, every receiver will accept
    return BuiltFab(content=content, fab_hash=hash_fab(content), manifest=manifest, listing=listing)


def _load_document(app_dir: Path) -> dict[str, Any]:
    path = app_dir / PYPROJECT
    if not path.is_file():
        raise AppBuildError(
            f"no pyproject.toml in {app_dir}",
            hint="give the app's folder, or make one with `flwr new`",
        )
    with path.open("rb") as file:
        return parse_document(file.read(MAX_PYPROJECT_BYTES + 1))


def _with_origin(document: Mapping[str, Any], origin: Origin | None) -> dict[str, Any]:
    """Return the manifest with this origin, or with none: an edited folder is no commit's."""
    top, ours, key = ORIGIN_TABLE
    if not isinstance(document.get(top), Mapping):
        return dict(document)  # ``check_document`` says what is missing
    tools = dict(document[top])
    declared = tools.get(ours)
    mine = dict(declared) if isinstance(declared, Mapping) else {}
    mine.pop(key, None)
    if origin is not None:
        mine[key] = {name: text for name, text in asdict(origin).items() if text}
    if mine or ours in tools:
        tools[ours] = mine
    return {**document, top: tools}


def _rewrite(document: Mapping[str, Any]) -> bytes:
    """Return the manifest without the user's connections, which are nobody else's business."""
    flwr = {k: v for k, v in document["tool"]["flwr"].items() if k != "federations"}
    tool = {**document["tool"], "flwr": flwr}
    return tomli_w.dumps({**document, "tool": tool}).encode()


def _zip(files: Mapping[str, bytes]) -> bytes:
    listed = [
        f"{path},{hashlib.sha256(data).hexdigest()},{len(data) * 8}" for path, data in files.items()
    ]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for path, data in {**files, CONTENT_LIST: "\n".join(listed).encode()}.items():
            info = zipfile.ZipInfo(path, date_time=_DATE)
            info.create_system = _UNIX
            info.external_attr = _MODE
            archive.writestr(info, data)
    return buffer.getvalue()


def _check_size(app_dir: Path, listing: FileListing) -> None:
    """Refuse before reading: files are stored uncompressed, so their sum bounds the bundle."""
    sizes = {path: (app_dir / path).stat().st_size for path in listing.kept}
    if (total := sum(sizes.values())) > MAX_FAB_BYTES:
        raise _too_large(total, sizes)


def _too_large(total: int, sizes: Mapping[str, int]) -> FabTooLargeError:
    largest = sorted(sizes, key=sizes.__getitem__, reverse=True)[:_LARGEST_SHOWN]
    named = ", ".join(f"{path} ({sizes[path]} bytes)" for path in largest)
    return FabTooLargeError(f"{total} bytes, the limit is {MAX_FAB_BYTES}; largest: {named}")
