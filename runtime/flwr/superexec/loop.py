"""The SuperExec's loop: list what waits, claim a launch, start a runner, attend to its end.

The daemon that owns the runs decides what may start; this loop only asks, starts, and reports.  It
never reads or writes a run's state itself.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Final, Protocol

from flwr.core.app_choice import EVERY_APP, AppChoice
from flwr.core.clock import Clock
from flwr.core.errors import ErrorKind, FlwrError
from flwr.core.ids import RunId
from flwr.core.lease import AppKind
from flwr.core.limits import APP_PATIENCE, POLL_FALLBACK, RETRY_CAP, RETRY_FIRST, STOP_GRACE
from flwr.core.run import Run, RunType
from flwr.superexec.launcher import AppProcess, Launch, Launcher
from flwr.wire.retry import Retry

log = logging.getLogger(__name__)

_REFUSALS: Final = frozenset(
    {
        ErrorKind.UNAUTHENTICATED,
        ErrorKind.DENIED,
        ErrorKind.NOT_RUNNING,  # what DENIED comes out as on an AppIo port (wire contract §6)
        ErrorKind.UNIMPLEMENTED,
        ErrorKind.UNAVAILABLE,  # given up already: the two sides disagree about TLS
    }
)

_NO_RUN: Final = RunId(0)  # never a run's id
_ASK_PERIOD: Final = timedelta(seconds=5)  # of the daemon, while there is no room for a launch

_APPS_KEPT: Final = 4096

EXIT_NOT_STARTED: Final = 127  # the shell's convention for "could not be executed"


class Launches(Protocol):
    """What the loop asks of the daemon's AppIo port."""

    async def list_apps(self) -> Sequence[RunId]:
        """Return runs that wait for an app process; the server may hold the call."""
        ...

    async def request_token(self, run_id: RunId) -> str:
        """Claim the launch for one run; empty when somebody else has it."""
        ...

    async def get_run(self, run_id: RunId) -> Run | None:
        """Return the run, None when unknown."""
        ...

    async def report_exit(self, token: str, exit_code: int, cause: str) -> None:
        """Say that a runner ended without finishing."""
        ...


def _tell_nobody(_answers: bool) -> None:
    """What becomes of the daemon is asked by nobody."""


class LaunchLoop:
    """Keeps up to ``max_apps`` runners of one kind alive, one per granted launch.

    Args:
        launches: the calls to the daemon.
        launcher: starts runners.
        kind: of the apps.
        max_apps: runners alive at one time.
        clock: time.
        retry: how an unreachable daemon is asked again.
        tell: told whether the daemon answers, whenever that may have changed.
        only_apps: claim no other run, also where the daemon does not know how to choose.
    """

    def __init__(
        self,
        launches: Launches,
        launcher: Launcher,
        *,
        kind: AppKind,
        max_apps: int,
        clock: Clock,
        retry: Retry | None = None,
        tell: Callable[[bool], None] = _tell_nobody,
        only_apps: AppChoice = EVERY_APP,
    ) -> None:
        self._launches, self._launcher = launches, launcher
        self._kind, self._clock = kind, clock
        self._only_apps = only_apps
        self._apps: OrderedDict[RunId, str] = OrderedDict()  # of runs seen lately
        self._tell_health = tell
        self._answers = False  # the daemon, as far as we know
        self._retry = replace(
            retry or Retry(clock=clock), on_wait=lambda *_: self._tell(answers=False)
        )
        self._slots = asyncio.Semaphore(max_apps)
        self._alive = 0  # runners

    async def run(self) -> None:
        """Launch until cancelled; runners still alive then are stopped before this returns.

        Raises:
            FlwrError: the daemon refuses this SuperExec, which has no runner to look after.
        """
        async with asyncio.TaskGroup() as runners:
            while True:
                await self._until_a_slot_is_free()
                launch = await self._next_launch()
                self._alive += 1
                runners.create_task(self._attend(launch))

    async def _until_a_slot_is_free(self) -> None:
        """Wait; the daemon is not polled meanwhile, so it is asked now and then how it is."""
        while True:
            try:
                async with asyncio.timeout(_ASK_PERIOD.total_seconds()):
                    await self._slots.acquire()
            except TimeoutError:
                await self._ask_daemon()
            else:
                return

    async def _ask_daemon(self) -> None:
        try:
            async with asyncio.timeout(_ASK_PERIOD.total_seconds()):
                await self._greet()
        except (FlwrError, TimeoutError):
            self._tell(answers=False)

    async def _greet(self) -> None:
        """Make a call that no daemon holds, unlike the list of launches.

        Raises:
            FlwrError: the daemon is not there.
        """
        try:
            await self._launches.get_run(_NO_RUN)
        except FlwrError as error:
            if error.kind is ErrorKind.UNAVAILABLE:
                raise
            if error.kind in _REFUSALS:
                return  # upstream's may answer only launched apps; the list of launches tells
        self._tell(answers=True)

    def _tell(self, *, answers: bool) -> None:
        self._answers = answers
        self._tell_health(answers)

    async def _next_launch(self) -> Launch:
        pause = RETRY_FIRST
        while True:
            asked_at = self._clock.monotonic()
            try:
                launch = await self._retry.call(self._claim)
            except FlwrError as error:
                self._tell(answers=False)
                if error.kind in _REFUSALS and not self._alive:
                    raise
                # To end now would end the apps of runs that have nothing to do with it.
                log.error(  # noqa: TRY400  # expected; a traceback says nothing more
                    "Cannot ask for launches, trying on",
                    extra={"event": "launches-refused", "cause": error.message},
                )
                await asyncio.sleep(pause.total_seconds())
                pause = min(pause * 2, RETRY_CAP)
                continue
            pause = RETRY_FIRST
            if launch is not None:
                return launch
            held = timedelta(seconds=self._clock.monotonic() - asked_at)
            if held < POLL_FALLBACK:  # the server does not hold polls, or others were faster
                await asyncio.sleep((POLL_FALLBACK - held).total_seconds())

    async def _claim(self) -> Launch | None:
        if not self._answers:
            await self._greet()
        listed = await self._launches.list_apps()
        self._tell(answers=True)
        for run_id in listed:
            if not await self._is_ours(run_id):
                continue
            token = await self._launches.request_token(run_id)
            if token:
                run_type = await self._run_type(run_id)
                return Launch(run_id=run_id, token=token, kind=self._kind, run_type=run_type)
        return None

    async def _is_ours(self, run_id: RunId) -> bool:
        if self._only_apps.fab_ids is None:
            return True
        if run_id not in self._apps:
            run = await self._launches.get_run(run_id)
            if run is None:
                return False
            self._apps[run_id] = run.fab_id
            while len(self._apps) > _APPS_KEPT:
                self._apps.popitem(last=False)
        return self._only_apps.admits(self._apps[run_id])

    async def _run_type(self, run_id: RunId) -> RunType:
        if self._kind is AppKind.CLIENTAPP:
            return RunType.SERVERAPP  # every ClientApp is run by the same program
        run = await self._launches.get_run(run_id)
        return run.run_type if run is not None else RunType.SERVERAPP

    async def _attend(self, launch: Launch) -> None:
        try:
            process = await self._start(launch)
            if process is not None:
                await self._await_end(launch, process)
        finally:
            self._alive -= 1
            self._slots.release()

    async def _start(self, launch: Launch) -> AppProcess | None:
        try:
            process = await self._launcher.start(launch)
        except (OSError, FlwrError) as error:
            cause = f"could not be started: {error}"
            log.error(  # noqa: TRY400  # the cause is the whole story, a traceback adds nothing
                "App process could not be started",
                extra={"event": "launch-failed", "run_id": launch.run_id, "cause": cause},
            )
            await self._report(launch, EXIT_NOT_STARTED, cause)
            return None
        log.info(
            "App process started",
            extra={"event": "launched", "run_id": launch.run_id, "pid": process.pid},
        )
        return process

    async def _await_end(self, launch: Launch, process: AppProcess) -> None:
        try:
            exit_code = await process.wait()
        except asyncio.CancelledError:
            await process.stop(STOP_GRACE)
            raise
        log.info(
            "App process ended",
            extra={"event": "exited", "run_id": launch.run_id, "exit_code": exit_code},
        )
        if exit_code != 0:
            await self._report(launch, exit_code, process.cause_of_exit())

    async def _report(self, launch: Launch, exit_code: int, cause: str) -> None:
        """Tell the daemon; give up when the lease has lapsed by itself."""
        report = partial(self._launches.report_exit, launch.token, exit_code, cause)
        try:
            await Retry(deadline=APP_PATIENCE, clock=self._clock).call(report)
        except FlwrError as error:
            log.warning(
                "Exit of an app process could not be reported",
                extra={"run_id": launch.run_id, "exit_code": exit_code, "cause": str(error)},
            )
