"""Whether a bundle may be trusted as what it claims: hash, list of contents, manifest, components.

Everything is checked before anybody writes a byte of it to disk.
"""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from flwr.core.ids import FabHash
from flwr.core.limits import MAX_PYPROJECT_BYTES
from flwr.fab.archive import Entry, expand, read_entries
from flwr.fab.entry import module_path
from flwr.fab.errors import FabHashMismatchError, FabInvalidError, FabTooLargeError
from flwr.fab.manifest import AppManifest, read_manifest

PYPROJECT: Final = "pyproject.toml"
INFO_DIRECTORY: Final = ".info"
CONTENT_LIST: Final = f"{INFO_DIRECTORY}/CONTENT"
_MAX_CONTENT_LIST: Final = 10_485_760  # bytes: 10,000 lines of the longest allowed paths
_LINE: Final = re.compile(r"(?P<path>.+),(?P<sha256>[0-9a-f]{64}),(?P<bits>\d{1,15})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Content:
    """One line of the list of contents."""

    sha256: str
    size: int  # bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifiedFab:
    """A bundle that passed every check."""

    fab_hash: FabHash
    manifest: AppManifest
    contents: Mapping[str, Content]  # by relative path, ``.info`` left out
    entries: tuple[Entry, ...]  # of those paths


def hash_fab(content: bytes) -> FabHash:
    """Return the identity of a bundle: the SHA-256 of its bytes."""
    return FabHash(hashlib.sha256(content).hexdigest())


def verify_fab(content: bytes, *, expected_hash: FabHash | None = None) -> VerifiedFab:
    """Check a whole bundle, expanding it in steps and keeping nothing of it.

    Raises:
        FabHashMismatchError: it is not the bundle with ``expected_hash``.
        FabTooLargeError: a limit is exceeded.
        FabInvalidError: the archive or its list of contents breaks a rule.
        ManifestError: its ``pyproject.toml`` has problems.
        AppEntryError: a component's module is not one of its files.
    """
    fab_hash = hash_fab(content)
    if expected_hash is not None and fab_hash != expected_hash:
        raise FabHashMismatchError(wanted=expected_hash, found=fab_hash)
    entries = {entry.path: entry for entry in read_entries(content)}
    contents = _read_content_list(content, entries)
    for path, expected in contents.items():
        check_content(path, expected, content, entries[path])
    manifest = read_manifest(_read_whole(content, entries[PYPROJECT], MAX_PYPROJECT_BYTES))
    module_path(manifest.serverapp, contents)
    module_path(manifest.clientapp, contents)
    return VerifiedFab(
        fab_hash=fab_hash,
        manifest=manifest,
        contents=contents,
        entries=tuple(entries[path] for path in contents),
    )


def check_content(path: str, expected: Content, content: bytes, entry: Entry) -> None:
    """Expand one file and compare it with its line in the list of contents.

    Raises:
        FabInvalidError: size or hash differ.
    """
    digest = hashlib.sha256()
    for step in expand(content, entry):
        digest.update(step)
    if entry.size != expected.size:
        raise FabInvalidError(f"{path!r} differs in size from the list of contents")
    if digest.hexdigest() != expected.sha256:
        raise FabInvalidError(f"{path!r} differs from its hash in the list of contents")


def _read_content_list(content: bytes, entries: Mapping[str, Entry]) -> dict[str, Content]:
    for required in (PYPROJECT, CONTENT_LIST):
        if required not in entries:
            raise FabInvalidError(f"it has no {required}")
    raw = _read_whole(content, entries[CONTENT_LIST], _MAX_CONTENT_LIST)
    contents = _parse_content_list(raw)
    if PYPROJECT not in contents:  # so do builders before 1.28; the hash of the bundle covers it
        contents[PYPROJECT] = _measure(content, entries[PYPROJECT])
    held = entries.keys() - {CONTENT_LIST}
    if unlisted := sorted(held - contents.keys()):
        raise FabInvalidError(f"{unlisted[0]!r} is not in the list of contents")
    if absent := sorted(contents.keys() - held):
        raise FabInvalidError(f"{absent[0]!r} is listed but absent")
    if any(path.split("/", 1)[0] == INFO_DIRECTORY for path in contents):
        raise FabInvalidError(f"only {CONTENT_LIST} may lie in {INFO_DIRECTORY}")
    return contents


def _parse_content_list(raw: bytes) -> dict[str, Content]:
    contents: dict[str, Content] = {}
    try:
        lines = raw.decode().removesuffix("\n").split("\n")  # builders before 1.28 end with it
    except UnicodeDecodeError as cause:
        raise FabInvalidError("its list of contents is no text") from cause
    for line in lines:
        fields = _LINE.fullmatch(line)
        if fields is None or int(fields["bits"]) % 8 or fields["path"] in contents:
            raise FabInvalidError(f"its list of contents has a bad line: {line[:120]!r}")
        contents[fields["path"]] = Content(fields["sha256"], int(fields["bits"]) // 8)
    return contents


def _measure(content: bytes, entry: Entry) -> Content:
    whole = _read_whole(content, entry, MAX_PYPROJECT_BYTES)
    return Content(hashlib.sha256(whole).hexdigest(), len(whole))


def _read_whole(content: bytes, entry: Entry, limit: int) -> bytes:
    if entry.size > limit:
        raise FabTooLargeError(f"{entry.path} has {entry.size} bytes, the limit is {limit}")
    return b"".join(expand(content, entry))
