"""How much memory our control groups grant, whether it runs short, what is kept for reuse.

Of version 1 the limits are read, and not how much is in use.
"""

import ctypes
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from flwr.shell.control_groups import own_groups

CGROUP: Final = Path("/sys/fs/cgroup")
_OOM_SCORE: Final = Path("/proc/self/oom_score_adj")
_ARENA_MAX: Final = -8  # mallopt(3)
_ARENAS: Final = 2
_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_MMAP_FROM: Final = 32 * 1024 * 1024  # bytes; the most that glibc takes
_KEPT: Final = 128 * 1024 * 1024
_KEPT_FOR_PIECES: Final = 16 * 1024 * 1024
_LIMITS: Final = ("memory.max", "memory.limit_in_bytes")  # of versions 2 and 1
_UNLIMITED: Final = 1 << 60  # about what version 1 says where there is no limit
_SHORT: Final = 0.5  # of the limit in use, without what the kernel can take back at once


def memory_limit(groups: Iterable[Path] | None = None) -> int | None:
    """Return the lowest limit in bytes, None when there is none.

    Args:
        groups: whose limits count; None: ours.
    """
    limits = [_limit(group) for group in (own_groups("memory") if groups is None else groups)]
    return min((limit for limit in limits if limit is not None), default=None)


def available_memory() -> int:
    """Return how many bytes of memory this process' container, else this machine, has in all."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    granted = memory_limit()
    return total if granted is None else min(total, granted)


def is_memory_short(cgroup: Path = CGROUP) -> bool:
    """Tell whether more than half of the limit is in use."""
    limit = _limit(cgroup)
    if limit is None:
        return False
    try:
        used = int((cgroup / "memory.current").read_text())
        lines = (cgroup / "memory.stat").read_text().splitlines()
    except (OSError, ValueError):
        return False
    counts = dict(line.split(" ", 1) for line in lines if " " in line)
    return used - int(counts.get("inactive_file", 0)) > limit * _SHORT


def go_first_for_memory() -> None:
    """Have the kernel end this process, not one that it works for, when memory runs out."""
    with suppress(OSError):  # not Linux
        _OOM_SCORE.write_text("1000")


def reuse_freed_memory() -> None:
    """Keep what this process frees for its next arrays, up to a bound; where glibc is used.

    Else each array of some megabytes is taken from the kernel anew, page by page, and cleared:
    that costs more than to compute with it.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(_MMAP_THRESHOLD, _MMAP_FROM)
        libc.mallopt(_TRIM_THRESHOLD, _KEPT)


def share_arenas() -> None:
    """Let all threads of this process reuse what any of them frees; where glibc is used.

    Else each thread that ever held a piece of a payload keeps room for it, or gives it back to the
    kernel with each piece, and gets it again page by page.  Call it early.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        libc.mallopt(_ARENA_MAX, _ARENAS)
        libc.mallopt(_MMAP_THRESHOLD, _MMAP_FROM)
        libc.mallopt(_TRIM_THRESHOLD, _KEPT_FOR_PIECES)


def _limit(group: Path) -> int | None:
    for name in _LIMITS:
        try:
            limit = int((group / name).read_text())
        except (OSError, ValueError):  # no such file, or "max"
            continue
        return limit if limit < _UNLIMITED else None
    return None
