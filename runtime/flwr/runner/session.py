"""One launch, from its token to its end: the app's process beside its lease, calls and output.

Whatever happens to the app, the daemon is told at once and once; whatever happens to the run, the
app's process is gone soon after.  Runs no user code and decodes no payload.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from enum import Enum, auto
from typing import Any, Final

from flwr.auth.tls import read_root_certificates
from flwr.core.clock import Clock
from flwr.core.errors import ErrorKind, FlwrError
from flwr.core.lease import AppKind
from flwr.core.limits import STOP_GRACE
from flwr.core.run import RunStatus
from flwr.runner.app_process import AppProcess
from flwr.runner.calls import AppCalls, ClientAppCalls, ServerAppCalls
from flwr.runner.config import RunnerConfig
from flwr.runner.heartbeat import Lease, LeaseEnd
from flwr.runner.logs import AppOutput, Reader, drained
from flwr.runner.outcome import Outcome, Report, conclude, describe_exception
from flwr.runner.relay import Relay, is_gone, retry_policy
from flwr.shell.exits import ExitCode
from flwr.shell.parent import until_parent_exits
from flwr.shell.signals import stop_requests
from flwr.wire.channel import open_aio_channel
from flwr.wire.clients.runner import RunnerClient, outcome_of_crash
from flwr.wire.pipe_server import PipeServer

log = logging.getLogger(__name__)

EXIT_UNFINISHED: Final = 70
"""The app's process died before it had its work: the SuperExec reports it, others may try again."""
EXIT_STOPPED: Final = 143
"""Told to stop before the app had finished; 128 + SIGTERM, as a shell would say it."""

# We are given STOP_GRACE ourselves when we are told to stop; these four steps fit into it.
_STOP_APP: Final = timedelta(seconds=4)
_DRAIN: Final = timedelta(seconds=2)  # reading what a dead app left in its pipes
_LAST_WORDS: Final = timedelta(seconds=1.5)  # each: its last output, and how it ended
_MAX_CAUSE_CHARS: Final = 2_000  # a cause, not a log
_OVER: Final = frozenset({ErrorKind.UNAUTHENTICATED, ErrorKind.NOT_RUNNING})

Begin = Callable[[AppOutput], Awaitable[AppProcess]]
"""Starts the app's process; may have its output read before there is one."""


class _Ending(Enum):
    """What ended the launch."""

    APP_ENDED = auto()
    LEASE_REVOKED = auto()
    CONTACT_LOST = auto()
    STOP_REQUESTED = auto()


async def run_launch(config: RunnerConfig, app: AppProcess, clock: Clock) -> int:
    """Serve ``app`` until its end; return the runner's exit code.

    Raises:
        FlwrError: the daemon could not be told how the app ended.
    """
    tls = None
    if config.root_certificates is not None:
        tls = read_root_certificates(config.root_certificates)

    async def begin(_output: AppOutput) -> AppProcess:
        return app

    with stop_requests() as stop:
        async with open_aio_channel(config.address, tls) as channel:
            retry = retry_policy(config.address, tls, clock)
            relay = Relay(channel, config.token, retry=retry)
            is_server = config.kind is AppKind.SERVERAPP
            calls = ServerAppCalls(relay) if is_server else ClientAppCalls(relay)
            told_to_stop = asyncio.create_task(stop.wait())
            try:
                return await Session(config, calls, begin, clock).run(told_to_stop)
            finally:
                await _cancelled(told_to_stop)


class Session:
    """The parts of one launch, wired."""

    def __init__(
        self,
        config: RunnerConfig,
        calls: AppCalls,
        begin: Begin,
        clock: Clock,
        *,
        first_heartbeat: timedelta = timedelta(0),
    ) -> None:
        self._first_heartbeat = first_heartbeat
        self._config, self._calls, self._begin, self._clock = config, calls, begin, clock
        self._program = "ServerApp" if config.kind is AppKind.SERVERAPP else "ClientApp"
        self._daemon = RunnerClient(calls.relay, kind=config.kind)
        self._output = AppOutput(self._send_log, echoes=config.kind is AppKind.CLIENTAPP)
        if isinstance(calls, ClientAppCalls):
            calls.output = self._output
        self._unsent = ""  # what the app printed, when there is no run to send it to
        self._app: AppProcess | None = None
        self._why_not_begun = ""
        self._pipe: PipeServer | None = None

    async def run(self, stop: "asyncio.Future[Any]") -> int:
        """Serve the app until its end, then settle its affairs; return the exit code.

        Args:
            stop: done when the app is to end.
        """
        lease = Lease(self._daemon, self._clock, first=self._first_heartbeat)
        try:
            ending = await self._until_ending(stop, lease.end)
            if self._app is not None:  # also what it left behind in its process group
                await self._app.child.stop(_STOP_APP)
            self._output.make_room()
            await drained(self._readers, _DRAIN)
            report = self._conclude(ending)
            await self._send_last_output(ending, report)
            return await self._settle(ending, report)
        finally:
            await lease.close()
            await _cancelled(*filter(None, (self._calls.finishing,)))
            await self._output.close()
            if self._pipe is not None:
                self._pipe.close()
            if self._app is not None:
                await self._app.child.stop(timedelta(0))

    @property
    def _readers(self) -> list[Reader]:
        pipe = () if self._pipe is None else (self._pipe,)
        return [*pipe, *self._output.readers]

    async def _until_ending(
        self, stop: "asyncio.Future[Any]", lease: "asyncio.Future[LeaseEnd]"
    ) -> _Ending:
        app = asyncio.create_task(self._begin_and_end())
        told = {stop}
        if (parent := self._config.parent_pid) is not None:
            told.add(asyncio.create_task(until_parent_exits(parent)))
        ends: set[asyncio.Future[Any]] = {app, lease, self._calls.relay.refused, *told}
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if app.done():
                return app.result()
            if any(one.done() for one in told):
                return _Ending.STOP_REQUESTED
            if self._calls.is_finished:  # its lease ended with its outputs, as it should
                return await app
            is_lost = lease.done() and lease.result() is LeaseEnd.CONTACT_LOST
            return _Ending.CONTACT_LOST if is_lost else _Ending.LEASE_REVOKED
        finally:
            await _cancelled(app, *(told - {stop}))

    async def _begin_and_end(self) -> _Ending:
        try:
            app = self._app = await self._begin(self._output)
        except (FlwrError, OSError) as error:
            self._why_not_begun = f"could not be started: {error}"
            is_over = isinstance(error, FlwrError) and error.kind in _OVER
            return _Ending.LEASE_REVOKED if is_over else _Ending.APP_ENDED
        calls = self._calls
        self._pipe = PipeServer(app.pipe, calls.answer, calls.hear, calls.relay.stream)
        if app.output is not None:
            self._output.read(app.output)
        await self._until_app_ends(app)
        return _Ending.APP_ENDED

    async def _until_app_ends(self, app: AppProcess) -> None:
        """Wait; one that has said its last word but does not go is stopped by the caller."""
        timers: list[asyncio.TimerHandle] = []
        loop = asyncio.get_running_loop()
        over = loop.create_future()

        def end(_: object = None) -> None:
            if not over.done():
                over.set_result(None)

        def limit(_: object) -> None:
            timers.append(loop.call_later(STOP_GRACE.total_seconds(), end))

        exited = asyncio.ensure_future(app.child.wait())
        exited.add_done_callback(end)
        self._calls.reported.add_done_callback(limit)
        try:
            await over
        finally:
            self._calls.reported.remove_done_callback(limit)
            for timer in timers:
                timer.cancel()
            await _cancelled(exited)

    async def _send_log(self, text: str) -> None:
        run_id = await self._calls.launched
        if self._config.kind is AppKind.SERVERAPP:
            await self._daemon.push_serverapp_logs(run_id, text)
        else:
            await self._daemon.push_clientapp_logs(self._config.token, text)

    def _conclude(self, ending: _Ending) -> Report:
        report = self._calls.report
        if ending is _Ending.APP_ENDED:
            return conclude(report, self._program, self._cause_of_exit())
        if report is not None and report.outcome is Outcome.STOPPED:
            report = None  # by us, not by the end of its run
        return conclude(report, self._program, "was stopped: its runner was told to end")

    def _cause_of_exit(self) -> str:
        return self._why_not_begun if self._app is None else self._app.child.cause_of_exit()

    async def _send_last_output(self, ending: _Ending, report: Report) -> None:
        """Wait until the daemon has everything the app printed, as far as it can be had."""
        if not self._calls.launched.done():
            self._unsent = self._output.give_up()
            return
        if self._calls.report is None:
            self._output.ship(f"{report.details}\n")
        is_waited_for = self._config.kind is AppKind.SERVERAPP and ending is _Ending.APP_ENDED
        await self._output.sent(None if is_waited_for else _LAST_WORDS)

    async def _settle(self, ending: _Ending, report: Report) -> int:
        facts = {"event": "app-ended", "outcome": report.outcome, "cause": report.details}
        if ending is _Ending.LEASE_REVOKED:
            log.info("Run ended before its app", extra={"event": "lease-revoked"})
            return ExitCode.DONE
        if ending is _Ending.CONTACT_LOST:
            log.error("Contact with the daemon was lost", extra={"event": "contact-lost"})
            return ExitCode.UNREACHABLE
        log.log(self._level_of(report), "App ended", extra=facts)
        patience = _LAST_WORDS if ending is _Ending.STOP_REQUESTED else None
        try:
            if isinstance(self._calls, ClientAppCalls):
                return await self._settle_clientapp(self._calls, ending, report)
            return await self._settle_serverapp(report, patience)
        except FlwrError as error:
            if is_gone(error):  # the run ended first: nobody waits for our word
                return ExitCode.DONE
            raise

    def _level_of(self, report: Report) -> int:
        """Return how much it matters: each message has a ClientApp, whose executor logs its end."""
        is_usual = self._config.kind is AppKind.CLIENTAPP and report.outcome is Outcome.COMPLETED
        return logging.DEBUG if is_usual else logging.INFO

    async def _settle_serverapp(self, report: Report, patience: timedelta | None) -> int:
        if not self._calls.launched.done():
            return await self._settle_without_work(report)
        is_complete = report.outcome is Outcome.COMPLETED
        status = RunStatus.COMPLETED if is_complete else RunStatus.FAILED
        run_id = self._calls.launched.result()
        await self._daemon.finish_run(run_id, status, report.details, patience=patience)
        return ExitCode.DONE

    async def _settle_clientapp(
        self, calls: ClientAppCalls, ending: _Ending, report: Report
    ) -> int:
        cause = report.details
        patience = _LAST_WORDS.total_seconds() if ending is _Ending.STOP_REQUESTED else None
        try:
            if await calls.finished(patience):
                return ExitCode.DONE
        except FlwrError as error:
            if is_gone(error):
                raise
            cause = describe_exception(error)
            facts = {"event": "finish-refused", "cause": cause}
            log.error("What an app left was not taken", extra=facts)  # noqa: TRY400
        if ending is _Ending.STOP_REQUESTED:
            return EXIT_STOPPED  # the daemon may hand the instruction out again
        if not calls.has_begun:
            return await self._settle_without_work(report)
        if calls.has_replied:  # half, or whole: the daemon knows, and answers with the cause
            await self._report_exit(self._cause_of_exit())
        now, with_reply = self._clock.now(), not calls.has_replied
        work = await calls.work()
        await calls.give_back(outcome_of_crash(work, cause, now=now, with_reply=with_reply))
        return ExitCode.DONE

    async def _settle_without_work(self, report: Report) -> int:
        """Say why there will be no app; our SuperExec could only say how this runner ended."""
        if self._calls.report is not None:
            cause = report.details
        else:
            printed = self._unsent.strip().rpartition("\n")[2]
            cause = ": ".join(filter(None, (self._cause_of_exit(), printed)))
        log.error("App ended before it began", extra={"event": "app-unfinished", "cause": cause})
        await self._report_exit(f"ended before it began its work: {cause[:_MAX_CAUSE_CHARS]}")
        return EXIT_UNFINISHED

    async def _report_exit(self, cause: str) -> None:
        with suppress(FlwrError):  # then the launch ends with our exit, or lapses
            token = self._config.token
            await self._daemon.report_exit(token, EXIT_UNFINISHED, cause, patience=_LAST_WORDS)


async def _cancelled(*tasks: "asyncio.Future[Any]") -> None:
    left = [task for task in tasks if not task.done()]
    for task in left:
        task.cancel()
    if left:
        await asyncio.gather(*left, return_exceptions=True)
