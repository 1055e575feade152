import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta

import pytest

from flwr.core.app_choice import EVERY_APP, AppChoice
from flwr.core.clock import SystemClock
from flwr.core.errors import FlwrError, UnauthenticatedError, UnavailableError
from flwr.core.ids import RunId
from flwr.core.lease import AppKind
from flwr.superexec.loop import EXIT_NOT_STARTED, LaunchLoop
from flwr.wire.clients.launches import TakenLaunch
from flwr.wire.clients.work import Work
from tests.unit.superexec.fakes import FakeLauncher, FakeLaunches


def made(
    launches: FakeLaunches,
    launcher: FakeLauncher,
    *,
    max_apps: int = 8,
    tell: Callable[[bool], None] = lambda _: None,
    only_apps: AppChoice = EVERY_APP,
    kind: AppKind = AppKind.CLIENTAPP,
) -> LaunchLoop:
    return LaunchLoop(
        launches,
        launcher,
        kind=kind,
        max_apps=max_apps,
        clock=SystemClock(),
        tell=tell,
        only_apps=only_apps,
    )


def work(run_id: int) -> Work:
    return Work(run_id=RunId(run_id), bundle=None, inputs=b"", message=b"", was_taken_whole=True)


@asynccontextmanager
async def running(loop: LaunchLoop) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(loop.run())
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await task


def scenario(body: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await body()

    asyncio.run(bounded())


@pytest.mark.row("S4", "S5")
def test_every_waiting_run_gets_one_runner_and_its_own_token() -> None:
    async def body() -> None:
        launches, launcher = FakeLaunches(1, 2, 3), FakeLauncher()
        async with running(made(launches, launcher)):
            await launcher.until_started(3)
            assert [launch.token for launch in launcher.launches] == [
                "token-1",
                "token-2",
                "token-3",
            ]

    scenario(body)


@pytest.mark.parametrize("kind", AppKind)
def test_no_run_is_looked_up_where_every_app_is_ours(kind: AppKind) -> None:
    async def body() -> None:
        launches, launcher = FakeLaunches(1), FakeLauncher()
        async with running(made(launches, launcher, kind=kind)):
            await launcher.until_started(1)
        assert launches.looked_up == []  # a call less between a submission and its ServerApp

    scenario(body)


@pytest.mark.row("S4")
def test_whole_launches_are_taken_where_the_daemon_has_them() -> None:
    async def body() -> None:
        launches, launcher = FakeLaunches(), FakeLauncher()
        launches.whole = [TakenLaunch(f"token-{n}", work(n)) for n in (1, 2)]
        async with running(made(launches, launcher)):
            await launcher.until_started(2)
            assert [launch.token for launch in launcher.launches] == ["token-1", "token-2"]
            assert [launch.work for launch in launcher.launches] == [work(1), work(2)]
        assert launches.claims == 0

    scenario(body)


def test_a_daemon_that_has_no_whole_launches_is_asked_for_them_once() -> None:
    async def body() -> None:
        launches, launcher = FakeLaunches(1, 2, 3), FakeLauncher()
        async with running(made(launches, launcher)):
            await launcher.until_started(3)
        assert launches.whole_asked == 1

    scenario(body)


def test_a_daemon_that_was_only_unreachable_is_asked_for_whole_launches_again() -> None:
    async def body() -> None:
        launches, launcher = FakeLaunches(), FakeLauncher()
        launches.whole = [UnavailableError("restarting"), TakenLaunch("token-1", work(1))]
        async with running(made(launches, launcher)):
            await launcher.until_started(1)

    scenario(body)


def test_no_more_runners_are_started_than_allowed() -> None:
    async def body() -> None:
        launches, launcher = FakeLaunches(1, 2, 3), FakeLauncher()
        async with running(made(launches, launcher, max_apps=2)):
            await launcher.until_started(2)
            await asyncio.sleep(0.02)
            assert len(launcher.launches) == 2
            launcher.processes[0].end(0)
            await launcher.until_started(3)

    scenario(body)


@pytest.mark.row("S4", "F5")
def test_an_unfinished_runner_is_reported_with_its_cause_and_a_finished_one_is_not() -> None:
    async def body() -> None:
        launches, launcher = FakeLaunches(1, 2), FakeLauncher()
        async with running(made(launches, launcher)):
            await launcher.until_started(2)
            launcher.processes[0].end(0)
            launcher.processes[1].end(3)
            await launches.reported.wait()
            assert launches.reports == [("token-2", 3, "exited with code 3")]

    scenario(body)


def test_a_runner_that_cannot_be_started_is_reported() -> None:
    async def body() -> None:
        launches, launcher = FakeLaunches(1), FakeLauncher()
        launcher.failure = OSError("no memory")
        async with running(made(launches, launcher)):
            await launches.reported.wait()
            token, exit_code, cause = launches.reports[0]
            assert (token, exit_code) == ("token-1", EXIT_NOT_STARTED)
            assert "no memory" in cause

    scenario(body)


def test_a_run_taken_by_another_superexec_is_skipped() -> None:
    async def body() -> None:
        launches, launcher = FakeLaunches(1, 2), FakeLauncher()
        launches.taken_by_others = {launches.waiting[0]}
        async with running(made(launches, launcher)):
            await launcher.until_started(1)
            assert launcher.launches[0].run_id == 2

    scenario(body)


@pytest.mark.row("F7")
def test_an_unreachable_daemon_is_asked_again() -> None:
    async def body() -> None:
        launches, launcher = FakeLaunches(1), FakeLauncher()
        launches.errors = [UnavailableError("restarting")]
        async with running(made(launches, launcher)):
            await launcher.until_started(1)

    scenario(body)


def test_a_refused_superexec_ends_instead_of_asking_for_ever() -> None:
    async def body() -> None:
        launches, launcher = FakeLaunches(1), FakeLauncher()
        launches.errors = [UnauthenticatedError("wrong secret")]
        async with running(made(launches, launcher)) as task:
            with pytest.raises(ExceptionGroup) as caught:
                await task
            assert caught.group_contains(UnauthenticatedError)

    scenario(body)


@pytest.mark.row("F7")
def test_a_refusal_does_not_end_the_runners_of_other_runs() -> None:
    async def body() -> None:
        launches, launcher = FakeLaunches(1), FakeLauncher()
        async with running(made(launches, launcher)) as task:
            await launcher.until_started(1)
            launches.errors = [UnauthenticatedError("clock differs"), FlwrError("a bug")]
            launches.offer(2)
            await launcher.until_started(2)
            assert not task.done()
            assert not launcher.processes[0].stopped

    scenario(body)


def test_a_daemon_that_stumbles_is_asked_again() -> None:
    async def body() -> None:
        launches, launcher = FakeLaunches(1), FakeLauncher()
        launches.errors = [FlwrError("the server failed on this call")]
        async with running(made(launches, launcher)):
            await launcher.until_started(1)

    scenario(body)


@pytest.mark.row("F7", "S63")
def test_stopping_the_loop_stops_its_runners_and_reports_nothing() -> None:
    async def body() -> None:
        launches, launcher = FakeLaunches(1, 2), FakeLauncher()
        async with running(made(launches, launcher)):
            await launcher.until_started(2)
        assert all(process.stopped for process in launcher.processes)
        assert launches.reports == []

    scenario(body)


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(12_000):
        if holds():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not come true")


def test_health_follows_whether_the_daemon_answers() -> None:
    async def body() -> None:
        launches, launcher, said = FakeLaunches(), FakeLauncher(), list[bool]()
        launches.greetings = [UnavailableError("not up yet"), None]
        async with running(made(launches, launcher, tell=said.append)):
            await until(lambda: said == [False, True])  # though the list of launches is held
            launches.errors = [UnavailableError("gone")]
            launches.offer(1)
            await launcher.until_started(1)
            assert said[2] is False
            assert said[-1] is True

    scenario(body)


def test_a_daemon_that_answers_only_apps_is_judged_by_its_list_of_launches() -> None:
    async def body() -> None:
        launches, launcher, said = FakeLaunches(), FakeLauncher(), list[bool]()
        launches.greetings = [UnauthenticatedError("launched apps only")]
        async with running(made(launches, launcher, tell=said.append)):
            await until(lambda: launches.greeted == 1)
            assert said == []
            launches.offer(1)
            await launcher.until_started(1)
            assert said == [True]

    scenario(body)


def test_a_superexec_without_room_still_asks_how_its_daemon_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("flwr.superexec.loop._ASK_PERIOD", timedelta(milliseconds=20))

    async def body() -> None:
        launches, launcher, said = FakeLaunches(1), FakeLauncher(), list[bool]()
        async with running(made(launches, launcher, max_apps=1, tell=said.append)):
            await launcher.until_started(1)
            launches.greetings = [UnavailableError("gone")]
            await until(lambda: False in said)
            await until(lambda: said[-1])

    scenario(body)


@pytest.mark.row("S27")
def test_runs_of_other_apps_are_left_alone_where_the_daemon_does_not_choose() -> None:
    async def body() -> None:
        launches, launcher = FakeLaunches(1, 2, 3), FakeLauncher()
        launches.apps = {1: "lab/other", 2: "lab/ours"}
        ours = AppChoice(frozenset({"lab/ours"}))
        async with running(made(launches, launcher, only_apps=ours)):
            await launcher.until_started(1)
            assert launcher.launches[0].run_id == 2
            assert launches.waiting == [1, 3]  # of another app, and unknown

    scenario(body)


@pytest.mark.row("S63")
def test_a_drained_loop_claims_nothing_more_and_ends_with_its_last_runner() -> None:
    async def body() -> None:
        launches, launcher, said = FakeLaunches(1), FakeLauncher(), list[bool]()
        loop = made(launches, launcher, tell=said.append)
        async with running(loop) as task:
            await launcher.until_started(1)
            loop.drain()
            launches.offer(2)
            await asyncio.sleep(0.02)
            assert said[-1] is False
            assert not task.done()
            launcher.processes[0].end(0)
            await task
        assert len(launcher.launches) == 1
        assert launches.reports == []

    scenario(body)


@pytest.mark.row("S63")
def test_what_a_drained_loop_stops_is_given_back() -> None:
    async def body() -> None:
        launches, launcher = FakeLaunches(1, 2), FakeLauncher()
        loop = made(launches, launcher)
        async with running(loop) as task:
            await launcher.until_started(2)
            loop.drain()
            await loop.stop_runners(timedelta(seconds=1))
            await task
        assert all(process.stopped for process in launcher.processes)
        assert sorted(launches.given_back) == ["token-1", "token-2"]

    scenario(body)


def test_a_launch_being_claimed_when_the_drain_begins_is_not_lost() -> None:
    async def body() -> None:
        launches, launcher = FakeLaunches(1), FakeLauncher()
        launches.claimable = asyncio.Event()
        loop = made(launches, launcher)
        async with running(loop) as task:
            await until(lambda: launches.claims == 1)
            loop.drain()
            await asyncio.sleep(0.02)
            launches.claimable.set()
            await launcher.until_started(1)
            launcher.processes[0].end(0)
            await task

    scenario(body)
