"""Child processes: started in a group of their own, always awaited, stopped within a bound."""

import asyncio
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from functools import cache
from itertools import product
from pathlib import Path
from typing import Final

from flwr.shell.control_groups import own_groups

_OOM_FILES: Final = ("memory.events", "memory.oom_control")  # of version 2, of version 1


class _Register:
    """The processes that somebody here waits for; nobody else may."""

    def __init__(self) -> None:
        self._alive: dict[int, asyncio.subprocess.Process] = {}
        self._starting = 0

    @contextmanager
    def starting(self) -> Iterator[None]:
        """Note that a process is being started whose id is not known yet."""
        self._starting += 1
        try:
            yield
        finally:
            self._starting -= 1

    def add(self, process: asyncio.subprocess.Process) -> None:
        """Note a started process."""
        self._alive = {pid: p for pid, p in self._alive.items() if p.returncode is None}
        self._alive[process.pid] = process

    def may_be_ours(self, pid: int) -> bool:
        """Tell whether ``pid`` is, or may turn out to be, a process that is waited for here."""
        process = self._alive.get(pid)
        return self._starting > 0 or (process is not None and process.returncode is None)


own_children: Final = _Register()


class Child:
    """One running child process."""

    def __init__(self, process: asyncio.subprocess.Process, oom_before: int) -> None:
        self._process = process
        self._oom_before = oom_before

    @classmethod
    async def start(
        cls,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        is_told: bool = False,
        capture: bool = False,
        output: int | None = None,
        pass_fds: Sequence[int] = (),
    ) -> "Child":
        """Start ``argv`` as the leader of a new session.

        Args:
            argv: program and arguments; never a secret.
            env: the whole environment, None for our own.
            is_told: its standard input waits for ``tell``; else it has none.
            capture: make ``stdout`` and ``stderr`` readable here instead of inheriting ours.
            output: where both of them go instead.
            pass_fds: descriptors the child inherits.
        """
        oom_before = oom_kills()
        pipe = asyncio.subprocess.PIPE
        with own_children.starting():
            process = await asyncio.create_subprocess_exec(
                *argv,
                env=dict(env) if env is not None else None,
                stdin=pipe if is_told else asyncio.subprocess.DEVNULL,
                stdout=pipe if capture else output,
                stderr=pipe if capture else output,
                pass_fds=tuple(pass_fds),
                start_new_session=True,
            )
            own_children.add(process)
        return cls(process, oom_before)

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    def judge_from_now(self) -> None:
        """Do not blame on its memory what the kernel has killed while it only stood by."""
        self._oom_before = oom_kills()

    def tell(self, words: bytes) -> None:
        """Write its whole standard input; one that has ended does not hear it, see ``wait``."""
        self.judge_from_now()
        assert self._process.stdin is not None
        self._process.stdin.write(words)
        self._process.stdin.close()

    @property
    def stdout(self) -> asyncio.StreamReader | None:
        """Its standard output, when captured."""
        return self._process.stdout

    @property
    def stderr(self) -> asyncio.StreamReader | None:
        """Its standard error, when captured."""
        return self._process.stderr

    @property
    def has_exited(self) -> bool:
        """True once the process is gone and reaped."""
        return self._process.returncode is not None

    async def wait(self) -> int:
        """Return the exit code, negative for a signal, once it has exited."""
        return await self._process.wait()

    def cause_of_exit(self) -> str:
        """Say in words how it ended; call after ``wait``."""
        return describe_exit(
            self._process.returncode or 0,
            ran_out_of_memory=oom_kills() > self._oom_before,
        )

    async def stop(self, grace: timedelta) -> int:
        """Ask the whole group to stop, kill it after ``grace``; return the exit code."""
        if not self.has_exited:
            self.signal(signal.SIGTERM)
            try:
                async with asyncio.timeout(grace.total_seconds()):
                    await self._process.wait()
            except TimeoutError:
                pass
        # Also grandchildren that ignored the request or were left behind.
        self.signal(signal.SIGKILL)
        return await self._process.wait()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the child's process group, if any of it is left."""
        try:
            os.killpg(self._process.pid, number)
        except (ProcessLookupError, PermissionError):
            return


def describe_exit(code: int, *, ran_out_of_memory: bool = False) -> str:
    """Return ``code`` (negative: a signal) as a cause a person understands."""
    if code >= 0:
        return f"exited with code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = f"signal {-code}"
    if name == "SIGKILL" and ran_out_of_memory:
        return "was killed by SIGKILL: it ran out of memory"
    return f"was killed by {name}"


def oom_kills() -> int:
    """Return how often the kernel killed for memory in our control group; 0 where unknown."""
    if (file := _oom_file()) is None:
        return 0
    try:
        lines = file.read_text().splitlines()
    except OSError:
        return 0
    return _oom_kills_in(lines) or 0


@cache  # it is asked for at each launch
def _oom_file() -> Path | None:
    for group, name in product(own_groups("memory"), _OOM_FILES):
        with suppress(OSError):
            if _oom_kills_in((group / name).read_text().splitlines()) is not None:
                return group / name
    return None


def _oom_kills_in(lines: Sequence[str]) -> int | None:
    for line in lines:
        key, _, value = line.partition(" ")
        if key == "oom_kill" and value.strip().isdigit():
            return int(value)
    return None
