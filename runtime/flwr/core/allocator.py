"""What this process's allocator (malloc of glibc) keeps of what was freed; nothing elsewhere."""

import ctypes
import sys
from functools import lru_cache
from typing import Any, Final

_ARENA_MAX: Final = -8  # mallopt(3)
_ARENAS: Final = 2
_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_MMAP_FROM: Final = 32 * 1024 * 1024  # bytes; the most that glibc takes
_KEPT: Final = 128 * 1024 * 1024
_KEPT_FOR_PIECES: Final = 16 * 1024 * 1024


def reuse_freed_memory() -> None:
    """Keep what this process frees for its next arrays, up to a bound.

    Else each array of some megabytes is taken from the kernel anew, page by page, and cleared:
    that costs more than to compute with it.
    """
    if (libc := _glibc()) is not None:
        libc.mallopt(_MMAP_THRESHOLD, _MMAP_FROM)
        libc.mallopt(_TRIM_THRESHOLD, _KEPT)


def share_arenas() -> None:
    """Let all threads of this process reuse what any of them frees.

    Else each thread that ever held a piece of a payload keeps room for it, or gives it back to the
    kernel with each piece, and gets it again page by page.  Call it early.
    """
    if (libc := _glibc()) is not None:
        libc.mallopt(_ARENA_MAX, _ARENAS)
        libc.mallopt(_MMAP_THRESHOLD, _MMAP_FROM)
        libc.mallopt(_TRIM_THRESHOLD, _KEPT_FOR_PIECES)


def give_back() -> None:
    """Give the kernel what was freed and is kept: milliseconds, in any thread."""
    if (libc := _glibc()) is not None:
        libc.malloc_trim(0)


@lru_cache(1)
def _glibc() -> Any:
    """Return the C library, None if it is another."""
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    return libc if hasattr(libc, "mallopt") and hasattr(libc, "malloc_trim") else None
