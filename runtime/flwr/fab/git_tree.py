"""The files of a commit: read from git's listing, written by us.

Names come from a stranger: whatever would leave the folder, or mean something to git, is refused.
Symbolic links and submodules are left out, as they are of any bundle.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from flwr.core.limits import MAX_GIT_BYTES, MAX_GIT_FILES
from flwr.fab.git_errors import GitContentError, GitTooLargeError

_ENTRY: Final = re.compile(rb"(?P<mode>\d{6}) (?P<type>\w+) (?P<id>[0-9a-f]+) +(?P<size>\d+|-)\t")
_REGULAR: Final = frozenset({b"100644", b"100755", b"100664"})
_FORBIDDEN: Final = frozenset({"", ".", "..", ".git"})
_STEP: Final = 1_048_576  # bytes copied at a time


@dataclass(frozen=True, slots=True)
class TreeFile:
    """A regular file of a commit."""

    object_id: str
    size: int  # bytes


def read_tree(listing: bytes) -> dict[str, TreeFile]:
    """Return the regular files, by path, of ``git ls-tree -r -z --long``.

    Raises:
        GitTooLargeError: they are too many or too large.
        GitContentError: a path is refused.
    """
    files: dict[str, TreeFile] = {}
    for line in listing.split(b"\0"):
        entry = _ENTRY.match(line)
        if entry is None or entry["mode"] not in _REGULAR:
            continue
        path = _checked_path(line[entry.end() :])
        files[path] = TreeFile(entry["id"].decode(), int(entry["size"]))
    total = sum(file.size for file in files.values())
    if total > MAX_GIT_BYTES or len(files) > MAX_GIT_FILES:
        raise GitTooLargeError(
            f"{len(files)} files of {total} bytes, the limits are {MAX_GIT_FILES} and "
            f"{MAX_GIT_BYTES}"
        )
    return files


def write_files(
    files: Mapping[str, TreeFile], folder: Path, read_objects: Callable[[Path], Path]
) -> None:
    """Write ``files`` below ``folder``, which must not exist.

    Args:
        files: by relative path.
        folder: is made.
        read_objects: takes a file with ids, gives one in the form of ``git cat-file --batch``.

    Raises:
        GitContentError: git gave something else, or the file system cannot hold a file.
    """
    folder.mkdir()
    wanted = folder.with_suffix(".ids")
    wanted.write_text("".join(f"{file.object_id}\n" for file in files.values()))
    with read_objects(wanted).open("rb") as objects:
        for path, file in files.items():
            if objects.readline().split() != [file.object_id.encode(), b"blob", b"%d" % file.size]:
                raise GitContentError(f"the content of {path!r} is missing")
            _write(folder / path, objects, file.size)
            objects.read(1)  # the line feed after each object


def _write(target: Path, objects: BinaryIO, size: int) -> None:
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as file:
            while size > 0:
                step = objects.read(min(size, _STEP))
                if not step:
                    raise GitContentError(f"the content of {target.name!r} is cut short")
                file.write(step)
                size -= len(step)
    except OSError as cause:
        why = cause.strerror or str(cause)
        raise GitContentError(f"{target.name!r} cannot be written: {why}") from cause


def _checked_path(raw: bytes) -> str:
    try:
        path = raw.decode()
    except UnicodeDecodeError as cause:
        raise GitContentError(f"the file name {raw[:80]!r} is no UTF-8") from cause
    if any(part.lower() in _FORBIDDEN for part in path.split("/")) or "\\" in path:
        raise GitContentError(f"the path {path[:80]!r} is not allowed")
    return path
