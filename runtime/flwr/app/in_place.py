"""Mapped files put together by their pages instead of being copied.

Where the parts of an array lie in files that are mapped, each from a page on, the kernel shows
these pages side by side as well, and lets them be written: who writes to one gets a copy of it.
Nothing is read until it is looked at.  Whatever is in the way of that: the caller copies.
"""

import mmap
import sys
from collections.abc import Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any, Final

import numpy as np

from flwr.app.parts import Parts, Place

IN_PLACE_BYTES: Final = 2_097_152
"""Of elements: fewer are copied sooner (ADR-0018)."""

_MAY_MOVE, _FIXED, _DONT_UNMAP = 1, 2, 4  # of mremap, in Linux' sys/mman.h


class MappedFile(mmap.mmap):
    """A file as memory that nobody writes to.  Made by ``map_file``."""


def map_file(descriptor: int, size: int) -> MappedFile:
    """Return the first ``size`` bytes of a file, which are read when they are looked at.

    Raises:
        OSError: the kernel refuses.
    """
    if sys.version_info >= (3, 13):  # before, a mapping kept a descriptor of its own
        mapping = MappedFile(
            descriptor, size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ, trackfd=False
        )
    else:
        mapping = MappedFile(descriptor, size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
    with suppress(AttributeError, OSError):  # read ahead: fewer faults
        mapping.madvise(mmap.MADV_WILLNEED)
    return mapping


def side_by_side(parts: Parts) -> memoryview | None:
    """Return the bytes of parts as fresh memory that can be written; None: they must be copied.

    The memory is given back with the last view of it.
    """
    if not parts or not all(map(_is_mapped, parts)) or not _fit(parts):
        return None
    pages = _pages()
    return pages.show(parts, sum(map(len, parts))) if pages.can_be_shown(parts[0]) else None


def _is_mapped(part: Place) -> bool:
    return isinstance(part, memoryview) and isinstance(part.obj, MappedFile) and len(part) > 0


def _fit(parts: Sequence[Place]) -> bool:
    """Tell whether every part begins on a page, and ends with one if another follows."""
    are_whole = all(len(part) % mmap.PAGESIZE == 0 for part in parts[:-1])
    return are_whole and all(address_of(part) % mmap.PAGESIZE == 0 for part in parts)


def address_of(place: Place | mmap.mmap) -> int:
    """Return where bytes lie in memory."""
    address: int = np.frombuffer(place, np.uint8).__array_interface__["data"][0]
    return address


class _Pages:
    """The calls of the kernel that move pages.

    What has failed once is not tried again: a range in which a page could not be shown may have a
    hole, where anybody else's memory may be by now.  So it is never given back.
    """

    def __init__(self) -> None:
        self._is_able: bool | None = None  # None: that is not known
        self._never_given_back: list[mmap.mmap] = []
        self._libc = _libc()

    def can_be_shown(self, part: Place) -> bool:
        """Tell whether the kernel can show such pages twice (Linux 5.13)."""
        if self._is_able is None:
            self._is_able = self._libc is not None and self._try(address_of(part))
        return self._is_able

    def show(self, parts: Sequence[Place], size: int) -> memoryview | None:
        """Show pages side by side; None if that fails."""
        try:
            place = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        except OSError:
            return None
        start = at = address_of(place)
        for part in parts:
            if not self._move(address_of(part), len(part), at):
                self._is_able = False
                self._never_given_back.append(place)
                return None
            at += len(part)
        if self._libc.mprotect(start, size, mmap.PROT_READ | mmap.PROT_WRITE):
            return None
        return memoryview(place)

    def _move(self, address: int, size: int, to: int) -> bool:
        """Have pages at ``to``; where they were, they are read from their file again."""
        flags = _MAY_MOVE | _FIXED | _DONT_UNMAP
        return bool(self._libc.mremap(address, size, size, flags, to) == to)

    def _try(self, address: int) -> bool:
        """Try with one page, which goes where the kernel likes: that leaves no hole."""
        flags, size = _MAY_MOVE | _DONT_UNMAP, mmap.PAGESIZE
        moved = self._libc.mremap(address, size, size, flags, None)
        return bool(moved != _FAILED and self._libc.munmap(moved, size) == 0)


_FAILED: Final = 2 ** (8 * np.dtype(np.uintp).itemsize) - 1  # as an address


@lru_cache(1)
def _pages() -> _Pages:
    return _Pages()


def _libc() -> Any:
    """Return the C library, None where there is no such call."""
    if sys.platform != "linux":
        return None
    import ctypes  # noqa: PLC0415  (for large arrays alone)

    try:
        libc = ctypes.CDLL(None)
        address, size, number = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
        libc.mremap.restype = address
        libc.mremap.argtypes = [address, size, size, number, address]
        libc.mprotect.argtypes = [address, size, number]
        libc.munmap.argtypes = [address, size]
    except (OSError, AttributeError):
        return None
    return libc
