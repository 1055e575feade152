"""Looks at a federation while it runs: CPU and bytes all the time, memory when it is told to.

To read the memory of fifty processes takes as long as a small round.  So nothing is weighed while
rounds are timed, and the app holds a round still afterwards for that.
"""

import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

from tests.bench.accounting import CpuMeter, total
from tests.bench.figures import growth
from tests.bench.processes import command_of, pss_mb, scan, tree

STEP_S: Final = 0.05
_WEIGH_STEP_S: Final = 0.1
_MB: Final = 1e6
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Root:
    """A program that was started: which part it plays, and at which site (0: the server)."""

    pid: int
    role: str  # superlink, supernode, executor
    site: int


def lo_bytes(table: str) -> int:
    """Return the bytes that the loopback interface carried, from the text of /proc/net/dev."""
    for line in table.splitlines():
        name, _, counters = line.partition(":")
        if name.strip() == "lo":
            return int(counters.split()[0])
    return 0


def disk_bytes(counts: str) -> int:
    """Return the bytes that the kernel wrote to disks, from the text of /proc/vmstat."""
    for line in counts.splitlines():
        name, _, pages = line.partition(" ")
        if name == "nr_written":
            return int(pages) * _PAGE
    return 0


def role_of(root: Root, pid: int, command: str) -> str:
    """Return the part that a process below ``root`` plays."""
    if pid == root.pid:
        return root.role
    if "superexec" in command:
        return "executor"
    return "clientapp" if root.site else "serverapp"


@dataclass(frozen=True, slots=True)
class Weights:
    """Memory (PSS) at one time, in MB: by role over all processes, and by site."""

    by_role: dict[str, float]
    by_site: dict[int, float]

    @classmethod
    def now(cls, roots: Sequence[Root]) -> Self:
        """Weigh the trees below ``roots``."""
        table = scan()
        by_role: dict[str, float] = {}
        by_site: dict[int, float] = {}
        for root in roots:
            for pid in tree(root.pid, table):
                mb = pss_mb(pid)
                role = role_of(root, pid, command_of(pid))
                by_role[role] = by_role.get(role, 0.0) + mb
                by_site[root.site] = by_site.get(root.site, 0.0) + mb
        return cls(by_role, by_site)


@dataclass(slots=True)
class Peaks:
    """The most memory at any time: of each role, of a mean site, of all together."""

    by_role: dict[str, float] = field(default_factory=dict)
    site_mb: float = 0.0
    total_mb: float = 0.0
    looks: int = 0

    def take(self, weights: Weights) -> None:
        """Count one more weighing."""
        for role, mb in weights.by_role.items():
            self.by_role[role] = max(self.by_role.get(role, 0.0), mb)
        sites = [mb for site, mb in weights.by_site.items() if site]
        self.site_mb = max(self.site_mb, sum(sites) / len(sites) if sites else 0.0)
        self.total_mb = max(self.total_mb, sum(weights.by_role.values()))
        self.looks += 1

    def figures(self) -> dict[str, float]:
        """Return what was seen, by the names that reports use; nothing of what was not."""
        seen = {"site_mb": self.site_mb, "total_mb": self.total_mb}
        return {name: mb for name, mb in seen.items() if mb}


class Sampler:
    """A thread that looks; use it as a context manager.

    Args:
        meter: counts CPU seconds.
        roots: the programs whose memory is weighed; may grow while it looks.
        is_weighing: says whether now is a time to read memory.
    """

    def __init__(
        self, meter: CpuMeter, roots: Sequence[Root], is_weighing: Callable[[], bool]
    ) -> None:
        self._meter, self._roots, self._is_weighing = meter, roots, is_weighing
        self._cpu: list[tuple[float, float]] = []
        self._groups: dict[str, list[tuple[float, float]]] = {}
        self._bytes: list[tuple[float, float]] = []
        self._written: list[tuple[float, float]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.peaks = Peaks()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(10)

    def cpu_s(self, begin: float, end: float) -> float:
        """Return CPU seconds that were used between two instants."""
        return growth(self._cpu, begin, end)

    def group_cpu_s(self, begin: float, end: float) -> dict[str, float]:
        """Return the same by group of programs."""
        return {name: growth(points, begin, end) for name, points in self._groups.items()}

    def carried_mb(self, begin: float, end: float) -> float:
        """Return what loopback carried between two instants, in MB."""
        return growth(self._bytes, begin, end) / _MB

    def written_mb(self, begin: float, end: float) -> float:
        """Return what the kernel wrote to disks between two instants, in MB."""
        return growth(self._written, begin, end) / _MB

    def _run(self) -> None:
        weigh_at = 0.0
        while True:
            self._count()
            if self._stop.is_set():
                return
            if time.monotonic() >= weigh_at and self._is_weighing():
                self.peaks.take(Weights.now(list(self._roots)))
                weigh_at = time.monotonic() + _WEIGH_STEP_S
            self._stop.wait(STEP_S)

    def _count(self) -> None:
        now, used = time.monotonic(), self._meter.read()
        self._cpu.append((now, total(used)))
        for name, value in used.items():
            self._groups.setdefault(name, []).append((now, value))
        self._bytes.append((now, float(lo_bytes(Path("/proc/net/dev").read_text()))))
        self._written.append((now, float(disk_bytes(Path("/proc/vmstat").read_text()))))
