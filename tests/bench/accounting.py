"""CPU seconds of a federation: of every process it ever had, also of those that have ended.

A control group of our own counts exactly, whoever ends when, and costs one read of a file.  Where
none can be made (not root, or a read-only hierarchy), /proc is added up: in steps of a hundredth
of a second, and without processes whose parent never waited for them.
"""

import contextlib
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from tests.bench.processes import scan, tree_cpu_s

# "0" names whoever writes it.
_JOIN: Final = 'echo 0 > "$0" && exec "$@"'
_REMOVE_S: Final = 2.0


class CpuMeter(Protocol):
    """Counts the CPU seconds of groups of programs."""

    method: str

    def argv(self, group: str, command: Sequence[str]) -> list[str]:
        """Return the command line that runs ``command`` within a group."""
        ...

    def follow(self, group: str, pid: int) -> None:
        """Learn of a program that was started in a group."""
        ...

    def read(self) -> dict[str, float]:
        """Return CPU seconds so far by group."""
        ...

    def close(self) -> None:
        """Leave nothing behind."""
        ...


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """Where control groups can be made, and how one says what it used."""

    home: Path
    version: int

    @property
    def method(self) -> str:
        """Say in words what counts."""
        return f"control groups, version {self.version}"

    def used_s(self, group: Path) -> float:
        """Return CPU seconds of a group, ended processes included."""
        if self.version == 1:
            return int((group / "cpuacct.usage").read_text()) / 1e9
        return read_usage_s((group / "cpu.stat").read_text())


def read_usage_s(text: str) -> float:
    """Return the seconds that a cpu.stat of cgroup version 2 tells of."""
    fields = dict(line.split() for line in text.splitlines())
    return int(fields["usage_usec"]) / 1e6


def hierarchies(mounts: str, memberships: str) -> list[Hierarchy]:
    """Return where groups of a process can be made.

    Args:
        mounts: its /proc/self/mountinfo.
        memberships: its /proc/self/cgroup.
    """
    mine = {}
    for line in memberships.splitlines():
        number, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            mine["unified" if number == "0" else controller] = path.lstrip("/")
    found = []
    for line in mounts.splitlines():
        before, _, after = line.partition(" - ")
        place, (kind, _, options) = Path(before.split()[4]), after.split()[:3]
        if kind == "cgroup2" and "unified" in mine:
            found.append(Hierarchy(place / mine["unified"], 2))
        elif kind == "cgroup" and "cpuacct" in options.split(",") and "cpuacct" in mine:
            found.append(Hierarchy(place / mine["cpuacct"], 1))
    return sorted(found, key=lambda h: -h.version)


class GroupMeter:
    """A control group for each group of programs."""

    def __init__(self, hierarchy: Hierarchy, name: str) -> None:
        self._hierarchy = hierarchy
        self._name = name
        self._groups: dict[str, Path] = {}
        self.method = hierarchy.method

    def argv(self, group: str, command: Sequence[str]) -> list[str]:
        """Return a command line that joins the group first."""
        if group not in self._groups:
            made = self._hierarchy.home / f"{self._name}-{group}"
            made.mkdir()
            self._groups[group] = made
        return ["sh", "-c", _JOIN, str(self._groups[group] / "cgroup.procs"), *command]

    def follow(self, group: str, pid: int) -> None:
        """Nothing is to be learnt: children are in their parent's group."""

    def read(self) -> dict[str, float]:
        """Return CPU seconds so far by group."""
        return {name: self._hierarchy.used_s(path) for name, path in self._groups.items()}

    def close(self) -> None:
        """Remove the groups, once the last of their processes has gone."""
        until = time.monotonic() + _REMOVE_S
        for path in self._groups.values():
            while path.exists() and time.monotonic() < until:
                with contextlib.suppress(OSError):
                    path.rmdir()
                    break
                time.sleep(0.05)
        self._groups.clear()


class ProcMeter:
    """Adds up what /proc tells of process trees."""

    method = "/proc, in steps of 10 ms"

    def __init__(self) -> None:
        self._roots: dict[str, list[int]] = {}

    def argv(self, group: str, command: Sequence[str]) -> list[str]:
        """Return the command as it is."""
        return list(command)

    def follow(self, group: str, pid: int) -> None:
        """Count the tree below a process."""
        self._roots.setdefault(group, []).append(pid)

    def read(self) -> dict[str, float]:
        """Return CPU seconds so far by group."""
        table = scan()
        return {group: tree_cpu_s(roots, table) for group, roots in self._roots.items()}

    def close(self) -> None:
        """Nothing was made."""


def open_meter() -> CpuMeter:
    """Return the best meter there is on this machine."""
    files = [Path("/proc/self/mountinfo"), Path("/proc/self/cgroup")]
    name = f"flwr-bench-{os.getpid()}-{time.monotonic_ns()}"
    for hierarchy in hierarchies(*(file.read_text() for file in files)):
        meter = GroupMeter(hierarchy, name)
        if _works(meter):
            return GroupMeter(hierarchy, name)
    return ProcMeter()


def _works(meter: GroupMeter) -> bool:
    try:
        argv = meter.argv("probe", ["true"])
        done = subprocess.run(argv, capture_output=True, check=False)
        return done.returncode == 0 and meter.read()["probe"] > 0
    except (OSError, KeyError, ValueError):
        return False
    finally:
        meter.close()


def total(by_group: Mapping[str, float]) -> float:
    """Return the sum over groups."""
    return sum(by_group.values())
