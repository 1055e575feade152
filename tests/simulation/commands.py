"""``flwr-simulation`` started by tests, and what its processes hold open."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.harness.program import Program, descendants
from tests.harness.sockets import Socket, sockets
from tests.harness.toolset import ROOT

_CGROUP: Final = Path("/sys/fs/cgroup")
_ROOMY: Final = 1 << 32
_STEP_S: Final = 0.02
_MARK: Final = '{\n  "success"'


class Group:
    """A control group for memory, of version 1 or 2."""

    def __init__(self, name: str) -> None:
        self._is_first = (_CGROUP / "memory").is_dir()
        self.folder = _CGROUP / ("memory" if self._is_first else "") / name

    def make(self) -> None:
        """Make it.

        Raises:
            OSError: this user may not, or nothing counts memory here.
        """
        self.folder.mkdir()
        try:
            self.limit(_ROOMY)
        except OSError:
            self.remove()
            raise

    def limit(self, size: int) -> None:
        """Grant so many bytes, swapped ones included."""
        names = ("memory.limit_in_bytes", "memory.memsw.limit_in_bytes")
        names = names if self._is_first else ("memory.max", "memory.swap.max")
        for name, granted in zip(names, (size, size if self._is_first else 0), strict=True):
            if name == names[0] or (self.folder / name).exists():  # not where nothing is swapped
                (self.folder / name).write_text(str(granted))

    def processes(self) -> list[int]:
        """Return the processes in it."""
        return [int(pid) for pid in (self.folder / "cgroup.procs").read_text().split()]

    def remove(self) -> None:
        """Remove it; it must be empty."""
        self.folder.rmdir()

    def command(self, argv: list[str]) -> list[str]:
        """Return a command that becomes ``argv`` in this group."""
        return ["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', str(self.folder), *argv]


@contextmanager
def simulating(
    root: Path, app: Path, nodes: int, *args: str, group: Group | None = None
) -> Iterator[Program]:
    """Start ``flwr-simulation``; whatever happened, nothing of it is left."""
    root.mkdir(parents=True, exist_ok=True)
    kept = {k: v for k, v in os.environ.items() if not k.startswith("FLWR_")}
    env = {**kept, "FLWR_HOME": str(root / "home")}
    argv = [sys.executable, "-P", "-m", "flwr.simulation.main", "--app", str(app)]
    argv += ["--num-supernodes", str(nodes), "--format", "json", *args]
    argv = group.command(argv) if group else argv
    program = Program("flwr-simulation", argv, log=root / "simulation.log", env=env, cwd=ROOT)
    try:
        yield program
    finally:
        program.end()


def run(
    root: Path, app: Path, nodes: int, *args: str, group: Group | None = None
) -> tuple[str, dict[str, Any]]:
    """Run a simulation to its end; return what it printed and its document."""
    with simulating(root, app, nodes, *args, group=group) as program:
        program.wait(120)
        return program.output, document_in(program.output)


def document_in(output: str) -> dict[str, Any]:
    """Return the JSON document at the end of what a simulation printed."""
    document, _ = json.JSONDecoder().raw_decode(output[output.index(_MARK) :])
    assert isinstance(document, dict)
    return document


@dataclass
class Watched:
    """What was seen of a process tree while it ran: of each thing, the most at any time."""

    looks: int = 0
    processes: int = 0
    descriptors: int = 0
    sockets: int = 0  # of any family
    tcp: set[Socket] = field(default_factory=set)


def watch(program: Program, enough: Callable[[Watched], bool] = lambda _: False) -> Watched:
    """Look at the processes of ``program`` again and again until it ends, or that is ``enough``."""
    seen = Watched()
    while program.is_alive and not enough(seen):
        tree = [program.pid, *descendants(program.pid)]
        opened = [target for pid in tree for target in _descriptors(pid)]
        seen.looks += 1
        seen.processes = max(seen.processes, len(tree))
        seen.descriptors = max(seen.descriptors, len(opened))
        seen.sockets = max(seen.sockets, sum(t.startswith("socket:") for t in opened))
        seen.tcp |= set(sockets(tree))
        time.sleep(_STEP_S)
    return seen


def config(values: Mapping[str, object]) -> tuple[str, str]:
    """Return ``--run-config`` and its argument."""
    return "--run-config", " ".join(f"{key}={json.dumps(value)}" for key, value in values.items())


def _descriptors(pid: int) -> list[str]:
    found = []
    with suppress(OSError):
        for entry in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                found.append(str(entry.readlink()))
    return found
