"""Processes as /proc shows them: who is below whom, their CPU time and their memory.

Memory is PSS, the proportional set size: a page that several processes share counts once in their
sum, so that forks of one warm process are not counted as copies.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_MB: Final = 1e6


@dataclass(frozen=True, slots=True)
class Stat:
    """What /proc/PID/stat says of one process."""

    parent: int
    state: str
    cpu_s: float  # its own and that of children it has waited for


def read_stat(text: str) -> Stat:
    """Read the one line of /proc/PID/stat; the name in it may hold anything."""
    fields = text.rsplit(")", 1)[1].split()
    return Stat(int(fields[1]), fields[0], sum(int(f) for f in fields[11:15]) / TICKS_PER_S)


def scan() -> dict[int, Stat]:
    """Return every process of the machine, zombies too: their time is in nobody else's sum yet."""
    found = {}
    for entry in os.listdir("/proc"):  # noqa: PTH208  # many times a second: no Path for each
        if entry.isdigit():
            try:
                found[int(entry)] = read_stat(Path(f"/proc/{entry}/stat").read_text())
            except (OSError, IndexError):
                continue
    return found


def tree(root: int, table: Mapping[int, Stat]) -> list[int]:
    """Return ``root`` and every process below it, parents first."""
    children: dict[int, list[int]] = {}
    for pid, stat in table.items():
        children.setdefault(stat.parent, []).append(pid)
    found = [root] if root in table else []
    for pid in found:
        found += children.get(pid, [])
    return found


def tree_cpu_s(roots: Iterable[int], table: Mapping[int, Stat]) -> float:
    """Return CPU seconds of process trees, ended children included that were waited for."""
    return sum(table[pid].cpu_s for root in roots for pid in tree(root, table))


def command_of(pid: int) -> str:
    """Return the command line; empty when the process is gone."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
    except OSError:
        return ""


def pss_mb(pid: int) -> float:
    """Return the proportional set size; RSS where the kernel does not tell, 0 once it is gone."""
    try:
        return _field_kb(Path(f"/proc/{pid}/smaps_rollup").read_text(), "Pss:") * 1024 / _MB
    except (OSError, LookupError):
        return _rss_mb(pid)


def high_water_mb(pid: int) -> float:
    """Return the most resident memory (RSS) a live process ever had."""
    try:
        return _field_kb(Path(f"/proc/{pid}/status").read_text(), "VmHWM:") * 1024 / _MB
    except (OSError, LookupError):
        return 0.0


def _rss_mb(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE / _MB
    except (OSError, IndexError):
        return 0.0


def _field_kb(text: str, name: str) -> int:
    for line in text.splitlines():
        if line.startswith(name):
            return int(line.split()[1])
    raise LookupError(name)
