"""How many CPUs this process may use."""

import math
import os
from pathlib import Path
from typing import Final

_CGROUP_QUOTA: Final = Path("/sys/fs/cgroup/cpu.max")


def available_cpus() -> int:
    """Return how many CPUs this process may use: affinity and container quota considered."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    try:
        quota, period = _CGROUP_QUOTA.read_text().split()
        return max(min(count or 1, math.ceil(int(quota) / int(period))), 1)
    except (OSError, ValueError):  # no such file, or "max"
        return count or 1
