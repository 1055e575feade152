"""How much memory this process' container grants, and whether it is running short.

Only control groups of version 2 are read; elsewhere there is no limit that we know of.
"""

from pathlib import Path
from typing import Final

CGROUP: Final = Path("/sys/fs/cgroup")
_SHORT: Final = 0.5  # of the limit in use, without what the kernel can take back at once


def memory_limit(cgroup: Path = CGROUP) -> int | None:
    """Return the limit in bytes, None when there is none."""
    try:
        return int((cgroup / "memory.max").read_text())
    except (OSError, ValueError):  # no such file, or "max"
        return None


def is_memory_short(cgroup: Path = CGROUP) -> bool:
    """Tell whether more than half of the limit is in use."""
    limit = memory_limit(cgroup)
    if limit is None:
        return False
    try:
        used = int((cgroup / "memory.current").read_text())
        lines = (cgroup / "memory.stat").read_text().splitlines()
    except (OSError, ValueError):
        return False
    counts = dict(line.split(" ", 1) for line in lines if " " in line)
    return used - int(counts.get("inactive_file", 0)) > limit * _SHORT
