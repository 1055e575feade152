"""The machine a measurement runs on: what it is, who else uses it, and a network of our own."""

import contextlib
import ctypes
import fcntl
import os
import platform
import signal
import socket
import struct
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from tests.bench.processes import TICKS_PER_S, scan, tree
from tests.harness.toolset import ROOT

_CLONE_NEWNET: Final = 0x4000_0000
_PR_SET_CHILD_SUBREAPER: Final = 36
_SIOCSIFFLAGS: Final = 0x8914
_IFF_UP: Final = 1
STEAL_TOLERATED: Final = 0.05
OTHERS_TOLERATED: Final = 0.10


def facts() -> dict[str, object]:
    """Return what identifies the machine, for the record."""
    memory = Path("/proc/meminfo").read_text().split()[1]
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_mb": round(int(memory) * 1024 / 1e6),
        "kernel": platform.release(),
        "python": platform.python_version(),
    }


def commit() -> str:
    """Return the commit of the working tree; a plus follows where files differ from it."""
    head = _git("rev-parse", "--short=12", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", "runtime", "tests/bench")
    return f"{head or 'unknown'}{'+' if changed else ''}"


@dataclass(frozen=True, slots=True)
class Ticks:
    """Processor seconds since the machine started, over all cores."""

    total_s: float
    busy_s: float
    steal_s: float

    @classmethod
    def read(cls, text: str) -> Self:
        """Read the first line of /proc/stat."""
        user, nice, system, idle, iowait, irq, softirq, steal = (
            int(field) / TICKS_PER_S for field in text.splitlines()[0].split()[1:9]
        )
        busy = user + nice + system + irq + softirq
        return cls(busy + idle + iowait + steal, busy, steal)


@dataclass(frozen=True, slots=True)
class Noise:
    """What disturbed a measurement, as shares of all the machine's processor time."""

    steal: float  # taken by other virtual machines
    others: float  # used by processes that are not ours
    load: float  # load average of the minute before

    @property
    def is_loud(self) -> bool:
        """True when figures should not be trusted."""
        return self.steal > STEAL_TOLERATED or self.others > OTHERS_TOLERATED

    def __str__(self) -> str:
        return f"steal {self.steal:.0%}, other processes {self.others:.0%}, load {self.load:.1f}"


def _share(part_s: float, total_s: float) -> float:
    """Return a share of 0 to 1: differences of large floats are off by a little."""
    return min(max(part_s / total_s, 0.0), 1.0)


class NoiseWatch:
    """Compares the machine's processor time with ours; ``noise()`` once ours has all ended."""

    def __init__(self) -> None:
        self._load = os.getloadavg()[0]
        self._begin, self._own_s = _ticks(), _own_s()

    def noise(self) -> Noise:
        """Return what was going on since the beginning."""
        now = _ticks()
        total = max(now.total_s - self._begin.total_s, 1 / TICKS_PER_S)
        others = now.busy_s - self._begin.busy_s - (_own_s() - self._own_s)
        return Noise(
            steal=_share(now.steal_s - self._begin.steal_s, total),
            others=_share(others, total),
            load=self._load,
        )


def enter_private_network() -> bool:
    """Leave for a network namespace with a loopback of our own; False where that is not allowed.

    What its loopback carries is carried for us, and no port is anybody else's.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET) != 0:
        return False
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", _IFF_UP))
    return True


def adopt_orphans() -> None:
    """Become the parent of processes whose parent ends, so that none is lost sight of."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_everything_below(timeout: float = 10) -> None:
    """Kill every process below this one, and wait for them."""
    until = time.monotonic() + timeout
    while time.monotonic() < until:
        below = tree(os.getpid(), scan())[1:]
        if not below:
            return
        for pid in below:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        time.sleep(0.01)


def _ticks() -> Ticks:
    return Ticks.read(Path("/proc/stat").read_text())


def _own_s() -> float:
    """Return CPU seconds of this process and of all it has waited for."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _git(*args: str) -> str:
    try:
        done = subprocess.run(["git", *args], cwd=ROOT, capture_output=True, text=True, check=False)
    except OSError:
        return ""
    return done.stdout.strip()
