"""One started program: its log, its end, and a way to kill it."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from flwr.shell.process_name import STANDS_BY

_STEP_S: Final = 0.05
_GONE_S: Final = 60  # what is killed has ended; a busy machine takes its time to say so


class Program:
    """A process started by a test, with its output in a file."""

    def __init__(
        self, name: str, argv: Sequence[str], *, log: Path, env: Mapping[str, str], cwd: Path
    ) -> None:
        self.name, self.argv, self.log = name, list(argv), log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                self.argv,
                stdout=output,
                stderr=output,
                stdin=subprocess.DEVNULL,
                env=dict(env),
                cwd=cwd,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    @property
    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def kill(self) -> None:
        """SIGKILL to this one process: its children find themselves alone."""
        self._process.kill()
        self._process.wait(_GONE_S)

    def stop(self, timeout: float = _GONE_S) -> int:
        """SIGTERM, then wait; return the exit code."""
        self._process.terminate()
        return self._process.wait(timeout)

    def wait(self, timeout: float = _GONE_S) -> int:
        return self._process.wait(timeout)

    def end(self) -> None:
        """Leave nothing behind: the whole session is killed, and what is made to outlive it."""
        end_all([self])

    def await_port(self, address: str, timeout: float = _GONE_S) -> None:
        """Wait until ``address`` accepts connections; fail with the log when the program ends."""
        host, _, port = address.rpartition(":")
        eventually(
            lambda: self._accepts(host, int(port)),
            timeout=timeout,
            otherwise=lambda: f"{self.name} does not serve {address}:\n{self.output[-4000:]}",
        )

    def _accepts(self, host: str, port: int) -> bool:
        if not self.is_alive:
            raise AssertionError(f"{self.name} ended:\n{self.output[-4000:]}")
        try:
            with socket.create_connection((host, port), timeout=1):
                return True
        except OSError:
            return False


def end_all(programs: Sequence[Program]) -> None:
    """End programs at once, with everything below them.

    Nobody is asked politely: how programs stop is what some tests are about, not their clean-up.
    """
    below = {pid for program in programs for pid in descendants(program.pid)}
    for program in programs:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL)
    for pid in below:
        _kill(pid)
    for program in programs:
        program.wait()


def eventually(
    holds: Callable[[], object],
    *,
    timeout: float,
    otherwise: Callable[[], str] = lambda: "",
    step: float = _STEP_S,
) -> None:
    """Wait until ``holds()`` is true; fail with ``otherwise()`` after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(otherwise() or f"not true within {timeout} s")
        time.sleep(step)


def processes() -> dict[int, tuple[int, str]]:
    """Return pid -> (parent pid, command line) of everything alive (zombies left out)."""
    found: dict[int, tuple[int, str]] = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text(errors="replace").rsplit(")", 1)[1].split()
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (OSError, IndexError):
            continue
        if stat[0] != "Z":
            found[int(entry.name)] = (int(stat[1]), command)
    return found


def apps_among(pids: Iterable[int]) -> list[int]:
    """Return those processes that answer messages or run a ServerApp: no runner, no template.

    What only stands by runs no app.
    """
    alive = processes()

    def has(pid: int, module: str) -> bool:
        return module in alive.get(pid, (0, ""))[1]

    return [
        pid
        for pid in pids
        if (has(pid, "flwr.runner.child") and not stands_by(pid))
        or (has(pid, "flwr.runner.template") and has(alive[pid][0], "flwr.runner.template"))
    ]


def stands_by(pid: int) -> bool:
    """Tell whether a process is of a ServerApp's runner that has no launch yet."""
    try:
        return Path(f"/proc/{pid}/comm").read_text(errors="replace").strip() == STANDS_BY
    except OSError:
        return False


def descendants(pid: int) -> list[int]:
    """Return the pids below ``pid``, parents first."""
    alive = processes()
    below, frontier = [], [pid]
    while frontier:
        parent = frontier.pop()
        children = [p for p, (pp, _) in alive.items() if pp == parent]
        below += children
        frontier += children
    return below


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
