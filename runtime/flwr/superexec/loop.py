"""The SuperExec's loop: claim a launch, start a runner, attend to its end.

The daemon that owns the runs decides what may start; this loop only asks, starts, and reports.  It
never reads or writes a run's state itself.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
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
from flwr.core.run import Run
from flwr.superexec.launcher import AppProcess, Launch, Launcher
from flwr.wire.clients.launches import TakenLaunch
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

_UNKNOWN_CALL: Final = frozenset(
    {
        ErrorKind.UNIMPLEMENTED,
        ErrorKind.UNAUTHENTICATED,  # upstream's from 1.29 on, of every call that is not theirs
        ErrorKind.DENIED,
        ErrorKind.NOT_RUNNING,
    }
)

_NO_RUN: Final = RunId(0)  # never a run's id
_ASK_PERIOD: Final = timedelta(seconds=5)  # of the daemon, while there is no room for a launch

_TAKING_S: Final = 2.0  # a claim on its way is waited for so long when we drain
_LAST_WORD: Final = timedelta(seconds=2)  # for a report on our way out
_RUNS_KEPT: Final = 1024

EXIT_NOT_STARTED: Final = 127  # the shell's convention for "could not be executed"


class Launches(Protocol):
    """What the loop asks of the daemon's AppIo port."""

    async def take(self) -> TakenLaunch | None:
        """Claim a launch and get all of it at once; the server may hold the call."""
        ...

    async def list_apps(self) -> Sequence[RunId]:
        """Return runs that wait for an app process; the server may hold the call."""
        ...

    async def request_token(self, run_id: RunId) -> str:
        """Claim the launch for one run; empty when somebody else has it."""
        ...

    async def get_run(self, run_id: RunId) -> Run | None:
        """Return the run, None when unknown."""
        ...

    async def report_exit(
        self, token: str, exit_code: int, cause: str, *, stopped: bool = False
    ) -> None:
        """Say that a runner ended without finishing; ``stopped``: because we go away."""
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
        shortage: says what there is too little of for one more app; empty: nothing.
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
        shortage: Callable[[], str] = lambda: "",
    ) -> None:
        self._launches, self._launcher = launches, launcher
        self._kind, self._clock = kind, clock
        self._only_apps = only_apps
        self._runs: OrderedDict[RunId, Run] = OrderedDict()  # seen lately
        self._takes_whole = kind is AppKind.CLIENTAPP  # until the daemon turns out not to know how
        self._tell_health = tell
        self._answers = False  # the daemon, as far as we know
        self._retry = replace(
            retry or Retry(clock=clock), on_wait=lambda *_: self._tell(answers=False)
        )
        self._max_apps, self._shortage = max_apps, shortage
        self._slots = asyncio.Semaphore(max_apps)
        self._alive = 0  # runners
        self._processes: set[AppProcess] = set()
        self._draining = asyncio.Event()
        self._taking = asyncio.Lock()  # held while a launch is claimed and its runner not yet begun
        self._grace: timedelta | None = None  # set once runners are to stop

    async def run(self) -> None:
        """Launch until cancelled, or until drained; return when the last runner has ended.

        Runners still alive when this is cancelled are stopped, and nothing is reported.

        Raises:
            FlwrError: the daemon refuses this SuperExec, which has no runner to look after.
        """
        async with asyncio.TaskGroup() as runners:
            claiming = runners.create_task(self._keep_claiming(runners), name="claiming")
            await self._draining.wait()
            with suppress(TimeoutError):
                async with asyncio.timeout(_TAKING_S), self._taking:
                    claiming.cancel()
            claiming.cancel()

    @property
    def alive(self) -> int:
        """How many runners there are."""
        return self._alive

    def drain(self) -> None:
        """Claim no more launches; ``run`` returns when the last runner has ended."""
        self._draining.set()
        self._tell_health(False)

    async def stop_runners(self, grace: timedelta) -> None:
        """Stop the runners that are left, and give back what they had not finished."""
        self._grace = grace
        await asyncio.gather(*(process.stop(grace) for process in self._processes))

    async def _keep_claiming(self, runners: asyncio.TaskGroup) -> None:
        while True:
            await self._until_a_slot_is_free()
            await self._next_launch(runners)

    async def _until_a_slot_is_free(self) -> None:
        """Wait; the daemon is not polled meanwhile, so it is asked now and then how it is."""
        is_told = False
        while True:
            try:
                async with asyncio.timeout(_ASK_PERIOD.total_seconds()):
                    await self._slots.acquire()
            except TimeoutError:
                if not is_told:
                    self._tell_full()
                is_told = True
                await self._ask_daemon()
            else:
                return

    def _tell_full(self) -> None:
        short_of = self._shortage() or f"1 app: {self._alive} of {self._max_apps} run"
        facts = {"event": "full", "cause": f"waiting for {short_of}"}
        log.info("No room for more apps", extra=facts)

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
        self._tell_health(answers and not self._draining.is_set())

    async def _next_launch(self, runners: asyncio.TaskGroup) -> None:
        """Claim a launch and begin it."""
        pause = RETRY_FIRST
        while True:
            asked_at = self._clock.monotonic()
            try:
                is_begun = await self._retry.call(partial(self._claim, runners))
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
            if is_begun:
                return
            held = timedelta(seconds=self._clock.monotonic() - asked_at)
            if held < POLL_FALLBACK:  # the server does not hold polls, or others were faster
                await asyncio.sleep((POLL_FALLBACK - held).total_seconds())

    async def _claim(self, runners: asyncio.TaskGroup) -> bool:
        """Claim one launch of those listed; False when others have them all."""
        if not self._answers:
            await self._greet()
        if not self._takes_whole:
            return await self._claim_listed(runners)
        try:
            taken = await self._launches.take()
        except FlwrError as error:
            if error.kind not in _UNKNOWN_CALL:
                raise
            is_begun = await self._claim_listed(runners)
            self._takes_whole = False  # that the other way works tells what was meant
            return is_begun
        self._tell(answers=True)
        if taken is None:
            return False
        self._begin(
            Launch(run_id=taken.work.run_id, token=taken.token, kind=self._kind, work=taken.work),
            runners,
        )
        return True

    async def _claim_listed(self, runners: asyncio.TaskGroup) -> bool:
        """Do the same step by step, as the contract has it."""
        listed = await self._launches.list_apps()
        self._tell(answers=True)
        for run_id in listed:
            run = await self._find_run(run_id)
            if self._is_ours(run) and await self._take(run_id, runners):
                return True
        return False

    async def _find_run(self, run_id: RunId) -> Run | None:
        """Return what is known of a run, None where it does not matter or nothing is known."""
        if self._only_apps.fab_ids is None:
            return None  # every app of a kind is run by the same program
        if run_id not in self._runs:
            run = await self._launches.get_run(run_id)
            if run is None:
                return None
            self._runs[run_id] = run
            while len(self._runs) > _RUNS_KEPT:
                self._runs.popitem(last=False)
        return self._runs[run_id]

    def _is_ours(self, run: Run | None) -> bool:
        if self._only_apps.fab_ids is None:
            return True
        return run is not None and self._only_apps.admits(run.fab_id)

    async def _take(self, run_id: RunId, runners: asyncio.TaskGroup) -> bool:
        """Claim one launch and begin it; False when somebody else has it."""
        async with self._taking:
            token = "" if self._draining.is_set() else await self._launches.request_token(run_id)
            if not token:
                return False
            self._begin(Launch(run_id=run_id, token=token, kind=self._kind), runners)
        return True

    def _begin(self, launch: Launch, runners: asyncio.TaskGroup) -> None:
        self._alive += 1
        runners.create_task(self._attend(launch))

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
            return await self._launcher.start(launch)
        except (OSError, FlwrError) as error:
            cause = f"could not be started: {error}"
            log.error(  # noqa: TRY400  # the cause is the whole story, a traceback adds nothing
                "App process could not be started",
                extra={"event": "launch-failed", "run_id": launch.run_id, "cause": cause},
            )
            await self._report(launch, EXIT_NOT_STARTED, cause)
            return None

    async def _await_end(self, launch: Launch, process: AppProcess) -> None:
        self._processes.add(process)
        try:
            if self._grace is not None:  # it was claimed while the others were told to stop
                await process.stop(self._grace)
            exit_code = await process.wait()
        except asyncio.CancelledError:
            await process.stop(STOP_GRACE)
            raise
        finally:
            self._processes.discard(process)
        log.info(
            "App process ended",
            extra={"event": "exited", "run_id": launch.run_id, "exit_code": exit_code},
        )
        if exit_code != 0:
            await self._report(launch, exit_code, process.cause_of_exit())

    async def _report(self, launch: Launch, exit_code: int, cause: str) -> None:
        """Tell the daemon; give up when the lease has lapsed by itself."""
        stopped = self._grace is not None
        report = partial(
            self._launches.report_exit, launch.token, exit_code, cause, stopped=stopped
        )
        patience = _LAST_WORD if stopped else APP_PATIENCE
        try:
            async with asyncio.timeout(_LAST_WORD.total_seconds() if stopped else None):
                await Retry(deadline=patience, clock=self._clock).call(report)
        except (FlwrError, TimeoutError) as error:
            log.warning(
                "Exit of an app process could not be reported",
                extra={"run_id": launch.run_id, "exit_code": exit_code, "cause": str(error)},
            )
