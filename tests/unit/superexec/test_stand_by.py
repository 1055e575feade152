import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest

from flwr.core.run import RunStatus
from flwr.shell.children import Child
from flwr.superexec.stand_by import StandBy
from tests.unit.runner.appio_server import build_app
from tests.unit.superexec.test_main import (
    WAITING,
    LaunchingSuperLink,
    children_of,
    runner_pid,
    superexec,
    until_gone,
)

NEVER, AT_ONCE = timedelta(hours=1), timedelta(0)


class Starter:
    """Starts processes that wait, and counts them."""

    def __init__(self) -> None:
        self.started: list[Child] = []

    async def __call__(self) -> Child:
        child = await Child.start(["sleep", "60"], is_told=True)
        self.started.append(child)
        return child

    async def until(self, count: int) -> None:
        async with asyncio.timeout(60):
            while len(self.started) < count:  # noqa: ASYNC110  # nobody could tell us
                await asyncio.sleep(0.01)
        await asyncio.sleep(0)  # the keeper takes it

    async def end_all(self) -> None:
        for child in self.started:
            await child.stop(AT_ONCE)


def keeping(
    scenario: Callable[[StandBy, Starter], Awaitable[None]],
    pause: timedelta = NEVER,
    *,
    is_short: bool = False,
) -> Starter:
    """Run a scenario with one that may stand by; nothing of it is left."""
    starter = Starter()

    async def run() -> None:
        stand_by = StandBy(starter, pause=pause, calm=AT_ONCE, is_short=lambda: is_short)
        stand_by.prepare()
        try:
            await scenario(stand_by, starter)
        finally:
            await stand_by.close()
            assert all(child.has_exited for child in starter.started[1:])
            await starter.end_all()

    asyncio.run(run())
    return starter


def test_one_stands_by_and_serves_one_launch() -> None:
    async def scenario(stand_by: StandBy, starter: Starter) -> None:
        await starter.until(1)
        first = await stand_by.take()
        assert first is starter.started[0]
        stand_by.prepare(after=first)
        assert await stand_by.take() is None  # the launched app has the processor

    assert len(keeping(scenario).started) == 1


@pytest.mark.parametrize("ends", [True, False])
def test_the_next_one_is_made_when_the_app_has_ended_or_later(*, ends: bool) -> None:
    async def scenario(stand_by: StandBy, starter: Starter) -> None:
        await starter.until(1)
        first = await stand_by.take()
        assert first is not None
        stand_by.prepare(after=first)
        if ends:
            await first.stop(AT_ONCE)
        await starter.until(2)
        assert await stand_by.take() is starter.started[1]
        await starter.started[1].stop(AT_ONCE)

    assert len(keeping(scenario, NEVER if ends else AT_ONCE).started) == 2


def test_none_stands_by_where_memory_is_short() -> None:
    async def scenario(stand_by: StandBy, _: Starter) -> None:
        await asyncio.sleep(0.05)
        assert await stand_by.take() is None

    assert not keeping(scenario, is_short=True).started


def test_one_that_died_is_not_launched() -> None:
    async def scenario(stand_by: StandBy, starter: Starter) -> None:
        await starter.until(1)
        await starter.started[0].stop(AT_ONCE)
        assert await stand_by.take() is None

    keeping(scenario)


def test_one_that_began_before_a_library_was_installed_is_not_launched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    libraries = tmp_path / "site-packages"
    libraries.mkdir()
    monkeypatch.syspath_prepend(libraries)

    async def scenario(stand_by: StandBy, starter: Starter) -> None:
        await starter.until(1)
        (libraries / "numpy").mkdir()
        assert await stand_by.take() is None
        assert starter.started[0].has_exited

    keeping(scenario)


class IdleSuperLink(LaunchingSuperLink):
    """Has nothing to launch at first."""

    def offer(self) -> None:
        super().offer()
        self.pending = []


def _standing_by(executor: int) -> list[int]:
    """Return the ids of the runner and of its app's process, which has what apps need."""
    runners = [int(pid) for pid in children_of(executor).split()]
    apps = [int(pid) for runner in runners for pid in children_of(runner).split()]
    ready = [app for app in apps if "numpy" in Path(f"/proc/{app}/maps").read_text()]
    return [*runners, *ready] if ready else []


async def _until_standing_by(executor: int) -> list[int]:
    while not (found := _standing_by(executor)):  # noqa: ASYNC110  # nobody could tell us
        await asyncio.sleep(0.05)
    return found


@pytest.mark.slow
def test_a_serverapp_is_launched_in_the_runner_that_stands_by(tmp_path: Path) -> None:
    link = IdleSuperLink(build_app(tmp_path / "app", WAITING))

    async def scenario() -> tuple[int, int]:
        async with superexec(link, tmp_path) as process:
            runner, _ = await _until_standing_by(process.pid)
            assert link.tokens <= {""}  # it may do nothing yet
            link.pending = [link.run.run_id]
            await link.until("PushLogs")
            (tmp_path / "go").touch()
            await link.until("UpdateRunStatus")
            return runner, runner_pid(link)

    ready, used = asyncio.run(scenario())
    assert ready == used
    assert link.outcome() == (RunStatus.COMPLETED, "")
    assert link.exits == []


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_who_stands_by_goes_with_its_superexec(tmp_path: Path, how: signal.Signals) -> None:
    link = IdleSuperLink(build_app(tmp_path / "app", WAITING))

    async def scenario() -> None:
        async with superexec(link, tmp_path) as process:
            found = await _until_standing_by(process.pid)
            os.kill(process.pid, how)
            await process.wait()
            for pid in found:
                await until_gone(pid)

    asyncio.run(scenario())
    assert link.exits == []


@pytest.mark.slow
def test_nobody_stands_by_where_that_is_not_wanted(tmp_path: Path) -> None:
    link = IdleSuperLink(build_app(tmp_path / "app", WAITING))

    async def scenario() -> None:
        async with superexec(link, tmp_path, "--app-start", "fresh") as process:
            await link.until("ListAppsToLaunch")
            await asyncio.sleep(0.2)
            assert not children_of(process.pid)

    asyncio.run(scenario())
