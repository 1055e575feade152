"""The bundle as a zip file, read strictly and without trusting a single field of it.

Own reader instead of ``zipfile``: that one builds every entry before it can be asked how many there
are, and takes names, sizes and overlaps as they come.  What our builder and upstream's write is
accepted; every freedom of the format that neither uses is refused.
"""

import re
import struct
import unicodedata
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from flwr.core.limits import (
    MAX_FAB_BYTES,
    MAX_FAB_DEPTH,
    MAX_FAB_EXPANDED_BYTES,
    MAX_FAB_FILES,
)
from flwr.fab.errors import FabInvalidError, FabTooLargeError

_END: Final = struct.Struct("<4s4H2LH")
_CENTRAL: Final = struct.Struct("<4s6H3L5H2L")
_LOCAL: Final = struct.Struct("<4s5H3L2H")
_STORED, _DEFLATED = 0, 8
_ENCRYPTED, _UTF8 = 0x0001, 0x0800
_DOS_DIRECTORY: Final = 0x10
_FILE_TYPE, _REGULAR = 0o170000, 0o100000
_STEP: Final = 65_536  # bytes expanded at a time
_MAX_PATH: Final = 512  # characters
_MAX_SEGMENT: Final = 200
_FORBIDDEN: Final = re.compile(r'[\x00-\x1f\x7f\\:*?"<>|]')


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One file inside the bundle, its place checked against the other entries."""

    path: str  # relative, POSIX
    method: int
    crc: int
    size: int  # bytes, as declared; held to it when expanded
    start: int  # of the packed bytes
    packed_size: int
    header: int  # offset of the local header


def read_entries(content: bytes) -> list[Entry]:
    """Return the entries of a bundle after every check that needs no expansion.

    Raises:
        FabTooLargeError: packed or declared sizes, or the number of entries, exceed a limit.
        FabInvalidError: it is no zip file of the accepted form, or holds a refused path.
    """
    if len(content) > MAX_FAB_BYTES:
        raise FabTooLargeError(f"{len(content)} bytes, the limit is {MAX_FAB_BYTES}")
    entries = list(_central_entries(content))
    declared = sum(entry.size for entry in entries)
    if declared > MAX_FAB_EXPANDED_BYTES:
        raise FabTooLargeError(
            f"it expands to {declared} bytes, the limit is {MAX_FAB_EXPANDED_BYTES}",
        )
    check_paths([entry.path for entry in entries])
    _check_overlaps(entries)
    return entries


def expand(content: bytes, entry: Entry) -> Iterator[bytes]:
    """Yield the bytes of one file in steps; never more than the entry declared.

    Raises:
        FabInvalidError: size or checksum differ from what the entry declares.
    """
    packed = memoryview(content)[entry.start : entry.start + entry.packed_size]
    size, crc = 0, 0
    for step in _inflate(packed) if entry.method == _DEFLATED else _slices(packed):
        size, crc = size + len(step), zlib.crc32(step, crc)
        if size > entry.size:
            raise FabInvalidError(f"{entry.path!r} is larger than it declares")
        yield step
    if size != entry.size or crc != entry.crc:
        raise FabInvalidError(f"{entry.path!r} differs from its declared size or checksum")


def check_paths(paths: Sequence[str]) -> None:
    """Refuse paths that leave the directory, collide, or mean different things on other systems.

    Raises:
        FabInvalidError: naming the path.
    """
    folded: dict[str, str] = {}
    for path in paths:
        _check_path(path)
        key = _fold(path)
        if key in folded:
            same = "twice" if folded[key] == path else f"beside {folded[key]!r}"
            raise FabInvalidError(f"it holds {path!r} {same}")
        folded[key] = path
    for key, path in folded.items():
        parents = key.split("/")[:-1]
        for depth in range(1, len(parents) + 1):
            if "/".join(parents[:depth]) in folded:
                raise FabInvalidError(f"{path!r} lies below a file")


def _central_entries(content: bytes) -> Iterator[Entry]:
    end = len(content) - _END.size
    if end < 0 or content[end : end + 4] != b"PK\x05\x06":
        raise FabInvalidError("it is not a zip file, or bytes follow its end")
    _, disk, start_disk, here, total, length, offset, comment = _END.unpack_from(content, end)
    if disk or start_disk or here != total or comment or offset + length != end:
        raise FabInvalidError("its directory of files is inconsistent")
    if total > MAX_FAB_FILES:
        raise FabTooLargeError(f"{total} files, the limit is {MAX_FAB_FILES}")
    position = offset
    for _ in range(total):
        if position + _CENTRAL.size > end:
            raise FabInvalidError("its directory of files is cut short")
        entry, position = _central_entry(content, position, first_central=offset)
        yield entry
    if position != end:
        raise FabInvalidError("its directory of files lists more than it counts")


def _central_entry(content: bytes, position: int, *, first_central: int) -> tuple[Entry, int]:
    (
        magic, _made_by, _needed, flags, method, _time, _date, crc, packed, size,
        name_length, extra_length, comment_length, disk, _internal, external, header,
    ) = _CENTRAL.unpack_from(content, position)  # fmt: skip
    name_at = position + _CENTRAL.size
    raw_name = content[name_at : name_at + name_length]
    path = _decode(raw_name, flags)
    if magic != b"PK\x01\x02" or disk:
        raise FabInvalidError("its directory of files is damaged")
    _check_kind(path, flags=flags, method=method, external=external)
    if header + _LOCAL.size > first_central:
        raise FabInvalidError(f"{path!r} points outside the file")
    local = _LOCAL.unpack_from(content, header)
    start = header + _LOCAL.size + local[9] + local[10]
    local_name = content[header + _LOCAL.size : header + _LOCAL.size + local[9]]
    if local[0] != b"PK\x03\x04" or local_name != raw_name or local[3] != method:
        raise FabInvalidError(f"{path!r}: the two headers of the file disagree")
    if start + packed > first_central or (method == _STORED and packed != size):
        raise FabInvalidError(f"{path!r} declares an impossible size")
    entry = Entry(
        path=path, method=method, crc=crc, size=size, start=start, packed_size=packed, header=header
    )
    return entry, name_at + name_length + extra_length + comment_length


def _decode(raw_name: bytes, flags: int) -> str:
    try:
        return raw_name.decode("utf-8" if flags & _UTF8 else "ascii")
    except UnicodeDecodeError as cause:
        raise FabInvalidError(f"the file name {raw_name[:80]!r} is no text") from cause


def _check_kind(path: str, *, flags: int, method: int, external: int) -> None:
    file_type = (external >> 16) & _FILE_TYPE
    if file_type not in {0, _REGULAR} or external & _DOS_DIRECTORY:
        raise FabInvalidError(f"{path!r} is not a regular file")
    if flags & _ENCRYPTED:
        raise FabInvalidError(f"{path!r} is encrypted")
    if method not in {_STORED, _DEFLATED}:
        raise FabInvalidError(f"{path!r} uses compression method {method}")


def _check_overlaps(entries: Sequence[Entry]) -> None:
    previous_end = 0
    for entry in sorted(entries, key=lambda e: e.header):
        if entry.header < previous_end:
            raise FabInvalidError(f"{entry.path!r} overlaps another file")
        previous_end = entry.start + entry.packed_size


def _check_path(path: str) -> None:
    parts = path.split("/")
    if not path or path.startswith("/") or _FORBIDDEN.search(path):
        raise FabInvalidError(f"the path {path[:_MAX_PATH]!r} is not allowed")
    if len(path) > _MAX_PATH or any(len(part) > _MAX_SEGMENT for part in parts):
        raise FabInvalidError(f"the path {path[:80]!r}... is too long")
    if any(part in {"", ".", ".."} or part.endswith((" ", ".")) for part in parts):
        raise FabInvalidError(f"the path {path!r} is not allowed")
    if len(parts) - 1 > MAX_FAB_DEPTH:
        raise FabInvalidError(f"{path!r} is more than {MAX_FAB_DEPTH} directories deep")


def _fold(path: str) -> str:
    return unicodedata.normalize("NFKC", path).casefold()


def _slices(packed: memoryview) -> Iterator[bytes]:
    for start in range(0, len(packed), _STEP):
        yield bytes(packed[start : start + _STEP])


def _inflate(packed: memoryview) -> Iterator[bytes]:
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        step = stream.decompress(packed, _STEP)
        while step:
            yield step
            step = stream.decompress(stream.unconsumed_tail, _STEP)
    except zlib.error as cause:
        raise FabInvalidError(f"its compressed bytes are damaged: {cause}") from cause
    if not stream.eof or stream.unused_data:
        raise FabInvalidError("its compressed bytes are cut short, or others follow them")
