"""The record of the daemons the CLI started for ``:local:``, and how they are told from strangers.

A process id alone proves nothing after a reboot: the start time that the kernel keeps is compared.
"""

import json
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

_STAT_START: Final = 19  # fields after the command name until the start time, proc(5)
_STOP_GRACE_S: Final = 30.0  # daemons drain for 20 s
_STEP_S: Final = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalProcess:
    """One daemon."""

    name: str
    pid: int
    started: str  # in the kernel's ticks since boot; identifies the process together with the pid


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalRecord:
    """What runs for ``:local:``."""

    fleet_address: str
    num_supernodes: int
    processes: tuple[LocalProcess, ...]


def started_at(pid: int) -> str:
    """Return the start mark of a process; empty if there is none."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    state, *fields = stat.rpartition(")")[2].split()
    return "" if state == "Z" else fields[_STAT_START - 1]


def is_alive(process: LocalProcess) -> bool:
    """Tell whether the daemon still runs."""
    return started_at(process.pid) == process.started != ""


def load_record(path: Path) -> LocalRecord | None:
    """Return the record; None if there is none or it is unreadable."""
    try:
        document = json.loads(path.read_text())
        processes = tuple(LocalProcess(**each) for each in document.pop("processes"))
        return LocalRecord(processes=processes, **document)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def save_record(path: Path, record: LocalRecord) -> None:
    """Write the record in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(asdict(record), indent=2))
    fresh.replace(path)


def stop_processes(record: LocalRecord, pause: Callable[[float], None]) -> list[LocalProcess]:
    """End every daemon that still runs, nodes first; return those."""
    alive = [process for process in record.processes if is_alive(process)]
    for process in reversed(alive):
        _signal(process, signal.SIGTERM)
    for _ in range(int(_STOP_GRACE_S / _STEP_S)):
        if not any(is_alive(process) for process in alive):
            break
        pause(_STEP_S)
    for process in alive:
        if is_alive(process):
            _signal(process, signal.SIGKILL)
    return alive


def _signal(process: LocalProcess, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.kill(process.pid, number)
