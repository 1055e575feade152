"""Code on large pages, for a process that is forked for each message.

The code of libraries lies in pages of 4 KiB.  Each fork meets them anew, an exception for each
sixteen, and when it ends the kernel takes them out of its tables one by one.  A page of 2 MiB is
one entry, made by the fork itself.  Most kernels have such pages for memory only, not for files:
so what is much used is copied, and the copy takes the place of the file.
"""

import ctypes
import mmap
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NoReturn

_LARGE: Final = 2 * 1024 * 1024  # bytes; of x86-64, and of arm64 with small pages of 4 KiB
_MUCH_USED: Final = 0.25  # of its small pages, which come by sixteens
_MAPPINGS: Final = Path("/proc/self/maps")
_ENTRIES: Final = Path("/proc/self/pagemap")  # eight bytes for each small page
_ENTRY: Final = 8
_PRESENT: Final = 0x80  # in an entry's last byte: the page is in this process's tables
_HUGEPAGE, _COLLAPSE = 14, 25  # of madvise(2)
_MAY_MOVE, _FIXED = 1, 2  # of mremap(2)
_READ, _WRITE, _EXEC = mmap.PROT_READ, mmap.PROT_WRITE, mmap.PROT_EXEC


def gather_code(work: Callable[[], object]) -> int:
    """Put the code on large pages that forks of this process need most.

    Call it when everything is imported, with no other thread at work.

    Args:
        work: such as forks will do; one does it now, to show what code that takes.

    Returns:
        how many bytes were put there; 0 where the kernel has no such pages, or forbids it.
    """
    if (libc := _libc()) is None or mmap.PAGESIZE**2 // _ENTRY != _LARGE:
        return 0
    moved = 0
    try:
        for start in _much_used(work):
            if not _move(libc, start):
                break
            moved += _LARGE
    except OSError:  # no room for a fork, or /proc is not to be read
        return 0
    return moved


def _much_used(work: Callable[[], object]) -> list[int]:
    """Return where large pages can lie whose code a fork has in its tables after ``work``."""
    places = list(_aligned(_code()))
    source, sink = os.pipe()
    with os.fdopen(source, "rb") as answer:
        try:
            if (pid := os.fork()) == 0:
                _show(work, places, sink)
        finally:
            os.close(sink)
        shown = answer.read()
        os.waitpid(pid, 0)
    return [place for place, is_used in zip(places, shown, strict=False) if is_used]


def _show(work: Callable[[], object], places: list[int], sink: int) -> NoReturn:
    """Be the fork: tell which places are much used, a byte for each."""
    with suppress(BaseException):  # then it needs none of them
        work()
        os.write(sink, bytes(map(_is_much_used, places)))
    os._exit(0)


def _code() -> Iterator[tuple[int, int]]:
    """Return stretches of code and constants of one file each: first address, and the one after."""
    start = end = 0
    path = ""
    is_code = False
    for line in _MAPPINGS.read_text().splitlines():
        addresses, access, _, _, _, *name = line.split(maxsplit=5)
        first, after = (int(address, 16) for address in addresses.split("-"))
        if not name or not name[0].startswith("/") or access not in {"r-xp", "r--p"}:
            continue
        if (first, name[0]) != (end, path):
            if is_code:
                yield start, end
            start, path, is_code = first, name[0], False
        end = after
        is_code = is_code or access == "r-xp"
    if is_code:
        yield start, end


def _aligned(stretches: Iterator[tuple[int, int]]) -> Iterator[int]:
    """Return where a large page can begin and end inside one of the stretches."""
    for start, end in stretches:
        yield from range(-(-start // _LARGE) * _LARGE, end - _LARGE + 1, _LARGE)


def _is_much_used(start: int) -> bool:
    small = _LARGE // mmap.PAGESIZE
    with _ENTRIES.open("rb") as file:
        file.seek(start // mmap.PAGESIZE * _ENTRY)
        entries = file.read(small * _ENTRY)
    present = sum(last & _PRESENT != 0 for last in entries[_ENTRY - 1 :: _ENTRY])
    return present >= small * _MUCH_USED


def _move(libc: Any, start: int) -> bool:
    """Put what lies there on a large page, at once for whoever executes it."""
    room = libc.mmap(None, 2 * _LARGE, _READ | _WRITE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
    if room == _FAILED:
        return False
    page = -(-room // _LARGE) * _LARGE
    libc.madvise(page, _LARGE, _HUGEPAGE)
    ctypes.memmove(page, start, _LARGE)
    is_moved = bool(
        libc.madvise(page, _LARGE, _COLLAPSE) == 0
        and libc.mprotect(page, _LARGE, _READ | _EXEC) == 0
        and libc.mremap(page, _LARGE, _LARGE, _MAY_MOVE | _FIXED, start) == start
    )
    if not is_moved:
        libc.munmap(page, _LARGE)
    for first, after in ((room, page), (page + _LARGE, room + 2 * _LARGE)):
        if first < after:
            libc.munmap(first, after - first)
    return is_moved


_FAILED: Final = 2 ** (8 * ctypes.sizeof(ctypes.c_void_p)) - 1  # as an address


@lru_cache(1)
def _libc() -> Any:
    """Return the C library, None where there are no such calls."""
    if sys.platform != "linux":
        return None
    libc = ctypes.CDLL(None)
    address, size, number = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
    try:
        libc.mmap.restype = libc.mremap.restype = address
        libc.mmap.argtypes = [address, size, number, number, number, ctypes.c_long]
        libc.mremap.argtypes = [address, size, size, number, address]
        libc.madvise.argtypes = libc.mprotect.argtypes = [address, size, number]
        libc.munmap.argtypes = [address, size]
    except AttributeError:
        return None
    return libc
