"""Shared memory without a name: written by one process, read in place by those that inherit it.

The kernel frees it with its last descriptor and mapping, whatever way the processes end, and its
size is not bound to that of /dev/shm.  Who reads a place says when it has finished with it; until
then the writer writes nothing else there.
"""

import ctypes
import mmap
import os
import sys
import weakref
from bisect import insort
from collections.abc import Iterable, Sequence
from functools import partial
from typing import IO, Any, Final, NamedTuple

import numpy as np

from flwr.simulation.packing import Buffer

_ALIGNMENT: Final = 64  # of a buffer, as numpy likes it
_PAGE: Final = mmap.ALLOCATIONGRANULARITY
_SPARE_MAX: Final = 64 * 1024 * 1024  # free bytes kept for reuse; the rest goes back to the kernel
_WRITTEN_AT_ONCE: Final = 512  # buffers; the kernel takes 1024
_PUNCH_HOLE: Final = 0x03  # with FALLOC_FL_KEEP_SIZE, fallocate(2)


class Place(NamedTuple):
    """Where buffers lie in an arena, one after the other."""

    offset: int
    lengths: tuple[int, ...]


def open_arena() -> IO[bytes]:
    """Return a new arena; children get its descriptor by ``pass_fds``."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("flwr-simulation"), "r+b", buffering=0)
    import tempfile  # noqa: PLC0415  # on few systems

    return tempfile.TemporaryFile(buffering=0)  # no name either


class ArenaWriter:
    """The only one who writes to an arena; not safe for use by several threads."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._free: list[tuple[int, int]] = []  # offset and size, by offset, never adjacent
        self._taken: dict[int, int] = {}  # size by offset
        self._end = self._length = 0
        self._spare = 0  # bytes of free places that may still take memory

    @property
    def taken(self) -> int:
        """How many bytes are in use."""
        return sum(self._taken.values())

    def write(self, buffers: Sequence[Buffer]) -> Place:
        """Copy buffers to a place of their own.

        Raises:
            OSError: there is no memory for it.
        """
        lengths = tuple(len(buffer) for buffer in buffers)
        offset = self._take(sum(map(_aligned, lengths)))
        padded = list[Buffer]()
        for buffer in buffers:
            padded += [buffer, bytes(_aligned(len(buffer)) - len(buffer))]
        try:
            write_all(self._descriptor, padded, offset)
        except OSError:
            self.free(offset)
            raise
        return Place(offset, lengths)

    def free(self, offset: int) -> None:
        """Let a place be written to again; nobody reads it any more."""
        size = self._taken.pop(offset)
        if self._spare + size <= _SPARE_MAX:
            self._spare += size
        else:
            _give_back(self._descriptor, offset, size)
        insort(self._free, (offset, size))
        self._merge(self._free.index((offset, size)))

    def _take(self, wanted: int) -> int:
        size = max(-(-wanted // _PAGE) * _PAGE, _PAGE)
        for index, (offset, free) in enumerate(self._free):
            if free >= size:
                self._free[index : index + 1] = [(offset + size, free - size)] * (free > size)
                self._spare = max(self._spare - size, 0)
                break
        else:
            offset = self._end
            self._end += size
            if self._end > self._length:  # costs no memory, and readers need not map often
                self._length = max(2 * self._length, self._end)
                os.ftruncate(self._descriptor, self._length)
        self._taken[offset] = size
        return offset

    def _merge(self, index: int) -> None:
        """Join a free place with those it touches."""
        for left in (index, index - 1):
            if 0 <= left < len(self._free) - 1:
                (offset, size), (after, more) = self._free[left : left + 2]
                if offset + size == after:
                    self._free[left : left + 2] = [(offset, size + more)]


class ArenaReader:
    """Reads places of an arena without copying them."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._mapping: bytes | mmap.mmap = b""
        self._finished: list[int] = []

    def read(self, place: Place) -> list[memoryview]:
        """Return what was written there; it must stay for as long as one of these views lives."""
        size = sum(map(_aligned, place.lengths))
        if place.offset + size > len(self._mapping):
            self._mapping = mmap.mmap(self._descriptor, 0, access=mmap.ACCESS_READ)
        # Every view of the place, and of its parts, keeps this very object alive.
        owner: Any = np.frombuffer(self._mapping, np.uint8, count=size, offset=place.offset)
        # Collected at any moment and in any thread, so all that happens then is to note a number.
        weakref.finalize(owner, self._finished.append, place.offset).atexit = False
        views, at, whole = [], 0, memoryview(owner)
        for length in place.lengths:
            views.append(whole[at : at + length])
            at += _aligned(length)
        return views

    def take_finished(self) -> tuple[int, ...]:
        """Return the offsets of places nobody here reads any more, each once per reading."""
        return tuple(iter(partial(_pop, self._finished), None))


def _pop(numbers: list[int]) -> int | None:
    return numbers.pop() if numbers else None


def _aligned(length: int) -> int:
    return -(-length // _ALIGNMENT) * _ALIGNMENT


def write_all(descriptor: int, buffers: Iterable[Buffer], at: int) -> None:
    """Write buffers one after the other, from ``at`` on.

    Raises:
        OSError: there is no memory for it.
    """
    left = [memoryview(buffer) for buffer in buffers if len(buffer)]
    while left:
        written = os.pwritev(descriptor, left[:_WRITTEN_AT_ONCE], at)
        at += written
        while left and written >= len(left[0]):
            written -= len(left.pop(0))
        if written:
            left[0] = left[0][written:]


def _give_back(descriptor: int, offset: int, size: int) -> None:
    """Return the memory of a range to the kernel, where it can do that; the range stays valid."""
    if sys.platform == "linux":
        call = ctypes.CDLL(None).fallocate
        call.argtypes = [ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
        call(descriptor, _PUNCH_HOLE, offset, size)
