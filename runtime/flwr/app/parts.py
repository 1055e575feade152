"""Bytes that lie in several places, in order: read without putting them together."""

import mmap
from collections.abc import Iterator, Sequence
from contextlib import suppress

Place = bytes | bytearray | memoryview
Parts = tuple[Place, ...]


def cut(parts: Sequence[Place], step: int) -> Iterator[list[memoryview]]:
    """Yield ``step`` bytes at a time, the last time what is left; nothing is copied."""
    piece, room = list[memoryview](), step
    for part in parts:
        left = memoryview(part)
        while left:
            piece.append(left[:room])
            left, room = left[room:], room - len(piece[-1])
            if not room:
                yield piece
                piece, room = [], step
    if piece:
        yield piece


def skip(parts: Sequence[Place], count: int) -> list[memoryview]:
    """Return what follows the first ``count`` bytes; nothing is copied."""
    rest = list[memoryview]()
    for part in parts:
        if count < len(part):
            rest.append(memoryview(part)[count:])
        count = max(0, count - len(part))
    return rest


def beginning(parts: Sequence[Place], count: int) -> bytes:
    """Return a copy of up to ``count`` bytes from the start."""
    found = b""
    for part in parts:
        if len(found) == count:
            break
        found += part[: count - len(found)]
    return found


def let_go(part: Place) -> None:
    """Have the kernel take back the pages of a file that was mapped and read; it can be read again.

    Else a model counts twice once it is decoded: in its array, and where it came from.
    """
    if isinstance(part, memoryview) and isinstance(part.obj, mmap.mmap):
        with suppress(AttributeError, OSError, ValueError):  # not this kernel
            part.obj.madvise(mmap.MADV_DONTNEED)


def joined(parts: Sequence[Place]) -> bytes:
    """Return all bytes; what is one ``bytes`` already is not copied."""
    if len(parts) == 1 and isinstance(parts[0], bytes):
        return parts[0]
    return b"".join(parts)


def fill(target: memoryview, parts: Sequence[Place]) -> int:
    """Copy parts into ``target``, as far as it goes; return how many bytes were copied."""
    at = 0
    for part in parts:
        taken = memoryview(part)[: len(target) - at]
        target[at : at + len(taken)] = taken
        at += len(taken)
    return at
