"""Dying with the parent, by the kernel's hand, so that no worker is ever orphaned."""

import ctypes
import signal
import sys
from functools import cache
from typing import Final

_PR_SET_PDEATHSIG: Final = 1  # prctl(2)


def die_with_parent() -> None:
    """Ask the kernel to kill this process when the thread that started it ends; Linux only."""
    if sys.platform == "linux":
        _libc().prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def outlive_parent() -> None:
    """Take that back: this process notices the end of its parent by itself, and cleans up."""
    if sys.platform == "linux":
        _libc().prctl(_PR_SET_PDEATHSIG, 0)


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)
