"""How much memory our control groups grant, whether it runs short, and what in it waits for a disk.

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
_COUNTS: Final = Path("/proc/vmstat")
_NEAR: Final = 0.5  # of what may wait
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


def is_writing_near(counts: Path = _COUNTS) -> bool:
    """Tell whether half as much waits in memory for the machine's disks as lets the kernel begin.

    From a limit of its own on (``vm.dirty_background_ratio``) it writes, however soon files are to
    be removed.
    """
    try:
        lines = counts.read_text().splitlines()
    except OSError:  # not Linux
        return False
    found = dict(line.split(" ", 1) for line in lines if line.startswith("nr_dirty"))
    limit = int(found.get("nr_dirty_background_threshold", 0))
    return int(found.get("nr_dirty", 0)) > limit * _NEAR > 0


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
