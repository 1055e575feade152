"""How much memory our control groups grant, and whether it runs short.

Of version 1 the limits are read, and not how much is in use.
"""

import os
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from flwr.shell.control_groups import own_groups

CGROUP: Final = Path("/sys/fs/cgroup")
_OOM_SCORE: Final = Path("/proc/self/oom_score_adj")
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


def _limit(group: Path) -> int | None:
    for name in _LIMITS:
        try:
            limit = int((group / name).read_text())
        except (OSError, ValueError):  # no such file, or "max"
            continue
        return limit if limit < _UNLIMITED else None
    return None
