"""The CPUs that this process may use."""

import ctypes
import math
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

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


def fork_here() -> int:
    """Fork like ``os.fork``; the child begins on this process's CPU.

    Good where this process waits for the child with nothing else to do: else the child may be put
    behind the work of another CPU, or this one has to be woken for it.

    Raises:
        OSError: there is no room for another process.
    """
    if (current := _current_cpu()) is None:
        return os.fork()
    allowed = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {current()})
    except OSError:  # that CPU has just been taken from us
        return os.fork()
    try:
        return os.fork()
    finally:  # in both
        with suppress(OSError):  # all of them have just been taken from us
            os.sched_setaffinity(0, allowed)


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


@lru_cache(1)
def _current_cpu() -> Any:
    """Return what tells the CPU this thread is on, None where nothing does."""
    if sys.platform != "linux":
        return None
    return getattr(ctypes.CDLL(None), "sched_getcpu", None)
