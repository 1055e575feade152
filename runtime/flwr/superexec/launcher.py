"""Starting app processes: the launcher protocol, and the two that work on this machine.

A launcher decides where a runner runs and hands it its launch token: over standard input, or within
this process.  The token never appears in an argument list or an environment.  What the runner then
does is not its business.
"""

import asyncio
import logging
import os
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Final, Protocol, Self

from flwr.core.ids import RunId
from flwr.core.lease import AppKind
from flwr.runner.config import RunnerConfig
from flwr.runner.in_executor import InExecutorRunners, Permits
from flwr.shell.children import Child
from flwr.superexec.stand_by import StandBy
from flwr.wire.clients.work import Work

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """One granted launch: which app, for which run, with which token."""

    run_id: RunId
    token: str
    kind: AppKind
    work: Work | None = None
    """Of a ClientApp, where it came with the launch; else its runner asks for it."""

    def __repr__(self) -> str:
        return f"Launch(run_id={self.run_id}, kind={self.kind})"


class AppProcess(Protocol):
    """A started runner."""

    async def wait(self) -> int:
        """Return the exit code once it ended; negative means killed by that signal."""
        ...

    def cause_of_exit(self) -> str:
        """Say in words how it ended: "was killed by SIGKILL"; call after ``wait``."""
        ...

    async def stop(self, grace: timedelta) -> int:
        """Ask it to end, kill it after ``grace``, and return its exit code."""
        ...


class Launcher(Protocol):
    """Something that can start runners."""

    async def start(self, launch: Launch) -> AppProcess:
        """Start one runner and give it its token.

        Raises:
            OSError: the process could not be started.
            FailedPreconditionError: this launcher cannot start such a run.
        """
        ...


# Of either run type: the app's process learns from its inputs whether its nodes are virtual.
_PROGRAM: Final = "flwr.runner.serverapp_main"


class InExecutorLauncher:
    """Starts ClientApps: their runners are tasks of this process, and end with it."""

    def __init__(self, runners: InExecutorRunners) -> None:
        self._runners = runners

    async def start(self, launch: Launch) -> AppProcess:
        """Start one runner."""
        return self._runners.start(launch.token, launch.work, partial(_log_start, launch))


def _log_start(launch: Launch, pid: int) -> None:
    log.info(
        "App process started", extra={"event": "launched", "run_id": launch.run_id, "pid": pid}
    )


class ProcessLauncher:
    """Starts ServerApps: each runner is a process in its own session, and outlives us.

    Args:
        config: of each runner, but for its token.
        permits: tells each app when it may begin.
        keeps_stand_by: start a runner before there is a launch for it; not where each has an
            environment of its own.
    """

    def __init__(
        self, config: RunnerConfig, permits: Permits, *, keeps_stand_by: bool = False
    ) -> None:
        self._config, self._permits = config, permits
        self._holding: set[asyncio.Task[int]] = set()
        self._stand_by = StandBy(self._start_runner) if keeps_stand_by else None

    async def __aenter__(self) -> Self:
        if self._stand_by is not None:
            self._stand_by.prepare()
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._holding:
            task.cancel()
        if self._stand_by is not None:
            await self._stand_by.close()

    def command(self) -> Sequence[str]:
        """Return the argument list of the runner; it names no secret."""
        config = self._config
        argv = [sys.executable, "-P", "-m", _PROGRAM]
        argv += ["--serverappio-api-address", config.address, "--token-stdin"]
        if config.root_certificates is None:
            argv += ["--insecure"]
        else:
            argv += ["--root-certificates", str(config.root_certificates)]
        if config.allow_dependency_installation:
            argv += ["--allow-runtime-dependency-installation"]
        if config.withheld is not None:
            argv += ["--withhold-from-app", str(config.withheld)]
        return argv

    async def start(self, launch: Launch) -> AppProcess:
        """Start one runner, or take the one that stands by, and tell it its token."""
        async with AsyncExitStack() as held:
            permit = await held.enter_async_context(self._permits())
            child = None if self._stand_by is None else await self._stand_by.take()
            if child is None:
                child = await self._start_runner(permit.environment)
            self._hold_until_end(child, held.pop_all())
        child.tell(f"{launch.token}\n".encode("ascii"))
        _log_start(launch, child.pid)
        if self._stand_by is not None:
            self._stand_by.prepare(after=child)
        return child

    def _hold_until_end(self, child: Child, held: AsyncExitStack) -> None:
        async def hold() -> int:
            async with held:
                return await child.wait()

        task = asyncio.create_task(hold())
        self._holding.add(task)
        task.add_done_callback(self._holding.discard)

    async def _start_runner(self, environment: Mapping[str, str] | None = None) -> Child:
        env = {**os.environ, **environment} if environment else None
        return await Child.start(self.command(), env=env, is_told=True)
