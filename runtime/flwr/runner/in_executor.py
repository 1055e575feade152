"""Runners inside their executor's process: one for each launched ClientApp, none with user code.

The executor's connection and event loop serve them all.  Each starts a process for its app: a fork
of the app's template where there is one, else a fresh interpreter.
"""

import asyncio
import logging
import os
import socket
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass, field, replace
from datetime import timedelta

import grpc

from flwr.core.clock import Clock
from flwr.core.errors import FlwrError, UnauthenticatedError
from flwr.core.lease import AppKind
from flwr.core.limits import APP_FIRST_HEARTBEAT, APP_HEARTBEAT
from flwr.runner.app_process import AppProcess
from flwr.runner.calls import ClientAppCalls
from flwr.runner.config import RunnerConfig
from flwr.runner.logs import AppOutput
from flwr.runner.relay import Relay
from flwr.runner.session import Session
from flwr.runner.templates import Templates
from flwr.shell.children import describe_exit
from flwr.shell.exits import ExitCode, exit_code_of
from flwr.wire.clients.runner import RunnerClient
from flwr.wire.clients.tube import Tubes
from flwr.wire.clients.work import Work
from flwr.wire.retry import Retry

log = logging.getLogger(__name__)

_KILLED = -9

Begun = Callable[[int], None]
"""Told the id of the app's process."""


@dataclass(frozen=True, slots=True)
class Permit:
    """An app may begin."""

    environment: Mapping[str, str] = field(default_factory=dict)
    """What its process has besides ours: which GPUs it may use."""
    has_waited: bool = False


Permits = Callable[[], AbstractAsyncContextManager[Permit]]
"""Begins a block when an app may begin; the block ends with the app."""


class InExecutorRunners:
    """Starts runners.

    Args:
        config: of each, but for its token.
        channel: the executor's, to its daemon.
        retry: how an unavailable daemon is called again.
        clock: time.
        templates: None: every app gets a fresh interpreter.
        permits: tells each app when it may begin.
        tubes: a way to the daemon past the channel.
    """

    def __init__(
        self,
        config: RunnerConfig,
        channel: grpc.aio.Channel,
        *,
        retry: Retry,
        clock: Clock,
        templates: Templates | None,
        permits: Permits,
        tubes: Tubes | None = None,
    ) -> None:
        self._tubes = tubes
        self._config, self._channel, self._retry, self._clock = config, channel, retry, clock
        self._templates, self._permits = templates, permits

    def start(self, token: str, work: Work | None, begun: Begun) -> "InExecutorRunner":
        """Start the runner of one launch.

        Args:
            token: proves it.
            work: what the launch is about; None: it is still to be pulled.
            begun: told of the process.
        """
        stop: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        relay = Relay(self._channel, token, retry=self._retry, tubes=self._tubes)
        calls = ClientAppCalls(relay, work)

        held = AsyncExitStack()

        async def begin(output: AppOutput) -> AppProcess:
            permit = await held.enter_async_context(self._permits())
            if permit.has_waited:
                await _require_lease(calls)
            app = await self._start_app(calls, output, permit.environment)
            begun(app.child.pid)
            return app

        session = Session(
            replace(self._config, token=token),
            calls,
            begin,
            self._clock,
            first_heartbeat=APP_FIRST_HEARTBEAT,
        )
        return InExecutorRunner(asyncio.create_task(_run(session, stop, held)), stop)

    async def _start_app(
        self, calls: ClientAppCalls, output: AppOutput, environment: Mapping[str, str]
    ) -> AppProcess:
        work = await calls.work()
        if self._templates is not None and work.bundle is not None:
            forked = await _fork(self._templates, work, output, environment)
            if forked is not None:
                calls.has_bundle = True
                calls.has_begun = forked.has_begun
                return forked.app
        return await AppProcess.start(
            self._config.kind, withheld=self._config.withheld, environment=environment
        )


class InExecutorRunner:
    """One runner, as if it were a process."""

    def __init__(self, task: "asyncio.Task[int]", stop: "asyncio.Future[None]") -> None:
        self._task, self._stop = task, stop

    async def wait(self) -> int:
        """Return the exit code once it ended; negative means killed by that signal."""
        await asyncio.wait([self._task])
        return self._code()

    def cause_of_exit(self) -> str:
        """Say in words how it ended; call after ``wait``."""
        return describe_exit(self._code())

    async def stop(self, grace: timedelta) -> int:
        """Ask it to end, end it after ``grace``, and return its exit code."""
        if not self._stop.done():
            self._stop.set_result(None)
        if grace:
            await asyncio.wait([self._task], timeout=grace.total_seconds())
        self._task.cancel()
        return await self.wait()

    def _code(self) -> int:
        return _KILLED if self._task.cancelled() else self._task.result()


async def _run(session: Session, stop: "asyncio.Future[None]", held: AsyncExitStack) -> int:
    """Return what the process of a runner would have as its exit code."""
    try:
        async with held:
            return await session.run(stop)
    except FlwrError as error:
        log.error(  # noqa: TRY400  # expected; a traceback says nothing more
            "Runner failed", extra={"event": "runner-failed", "cause": error.message}
        )
        return exit_code_of(error)
    except Exception:
        log.exception("Runner failed", extra={"event": "bug"})
        return ExitCode.BUG


async def _require_lease(calls: ClientAppCalls) -> None:
    """Make sure that what waited for its permit is still wanted: it may have expired.

    Raises:
        FlwrError: it is not.
    """
    daemon = RunnerClient(calls.relay, kind=AppKind.CLIENTAPP)
    if not await daemon.heartbeat(next_in=APP_HEARTBEAT):
        raise UnauthenticatedError("the launch ended while its app waited to begin")


@dataclass(frozen=True, slots=True)
class _Forked:
    app: AppProcess
    has_begun: bool


async def _fork(
    templates: Templates, work: Work, output: AppOutput, environment: Mapping[str, str]
) -> _Forked | None:
    """Return a fork of the app's template; None where a fresh interpreter is needed."""
    assert work.bundle is not None
    read, printed = os.pipe()
    output.read(read)
    ours, theirs = socket.socketpair()
    child = None
    try:
        child = await templates.fork(
            work.bundle,
            theirs.fileno(),
            printed,
            environment,
            work.for_app(with_bundle=False),
        )
    finally:
        theirs.close()
        os.close(printed)
        if child is None:
            ours.close()
    if child is None:
        return None
    return _Forked(AppProcess(child, ours), child.has_begun)
