"""How many CPUs this process may use."""

import math
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from flwr.shell.control_groups import own_groups

_PERIOD_US: Final = "cpu.cfs_period_us"  # version 1 has two files for what cpu.max says in one
_QUOTA_US: Final = "cpu.cfs_quota_us"


def available_cpus(groups: Iterable[Path] | None = None) -> int:
    """Return how many CPUs this process may use: affinity and control groups considered.

    Args:
        groups: whose quotas count; None: ours.
    """
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    quotas = [_quota(group) for group in (own_groups("cpu") if groups is None else groups)]
    return max(math.ceil(min([found or 1, *quotas])), 1)


def _quota(group: Path) -> float:
    """Return how many CPUs one group grants."""
    try:
        if (file := group / "cpu.max").exists():
            quota, period = file.read_text().split()
        else:
            quota, period = ((group / name).read_text() for name in (_QUOTA_US, _PERIOD_US))
        return int(quota) / int(period) if int(quota) > 0 else math.inf
    except (OSError, ValueError):  # no such file, or "max"
        return math.inf
