import asyncio
import signal
from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from flwr.shell.superexec import SuperExecKeeper
from flwr.shell.wakeups import Wakeups
from flwr.store.errors import StoreFullError
from flwr.supernode.app_logs import MAX_BYTES_PER_RUN, AppLogs
from flwr.supernode.upkeep import EndedRuns, Reaper, launch_apps
from flwr.wire.transport import PeerNotRunningError
from tests.fakes.clock import FakeClock
from tests.unit.supernode import given
from tests.unit.supernode.given import OTHER_RUN, RUN, Site, scenario


@pytest.mark.row("S63")
def test_a_run_with_an_app_is_asked_for_and_ended_when_it_is_not_running() -> None:
    async def body() -> None:
        site = Site()
        site.take_in()
        site.take_in(OTHER_RUN, text="other")
        _, lease = site.launch()
        site.connect()
        site.fleet.runs[RUN] = given.run(site.clock)
        site.fleet.runs[OTHER_RUN] = given.run(site.clock, OTHER_RUN)
        ended = EndedRuns(site.session, site.runs, site.inbox)

        await ended.ask()
        assert site.leases.find(lease.token_hash) is not None
        assert site.fleet.calls["get_run"] == 1  # the other has no app
        site.fleet.failures["get_run"] = [PeerNotRunningError("Run is finished.")]
        await ended.ask()

        assert site.leases.find(lease.token_hash) is None
        assert site.runs.live() == [OTHER_RUN]
        site.fleet.stopped.add(OTHER_RUN)
        await ended.ask(everything=True)
        assert site.runs.live() == []

    scenario(body)


def test_the_reaper_knows_the_next_deadline() -> None:
    async def body() -> None:
        site = Site()
        site.take_in(ttl=3600)
        _, lease = site.launch()
        site.connect()
        reaper = Reaper(site.leases, site.wakeups, site.clock)
        assert await reaper.reap_once() == lease.until - site.clock.now()
        site.clock.advance(timedelta(minutes=2))
        assert await reaper.reap_once() == timedelta(minutes=58)
        assert site.leases.find(lease.token_hash) is None

    scenario(body)


class Sleeper(Wakeups):
    """The machine sleeps through one deadline, then the test is over."""

    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self.clock, self.naps = clock, 0

    async def wait(self, topics: Iterable[str], timeout: timedelta | None) -> bool:  # noqa: ASYNC109
        self.naps += 1
        if self.naps > 1:
            raise asyncio.CancelledError
        self.clock.advance(timedelta(hours=1))
        return False


@pytest.mark.row("F9", "F18")
def test_apps_are_not_blamed_for_a_sleep_of_the_node() -> None:
    async def body() -> None:
        site = Site()
        site.take_in(ttl=7200)
        _, lease = site.launch()
        with pytest.raises(asyncio.CancelledError):
            await Reaper(site.leases, Sleeper(site.clock), site.clock).run()
        assert site.leases.find(lease.token_hash) is not None

    scenario(body)


class Ringing(Sleeper):
    """Something else rings in the very moment the machine wakes up."""

    async def wait(self, topics: Iterable[str], timeout: timedelta | None) -> bool:  # noqa: ASYNC109
        return not await super().wait(topics, timeout)


@pytest.mark.row("F9")
def test_apps_are_not_blamed_when_the_wake_up_comes_with_other_news() -> None:
    async def body() -> None:
        site = Site()
        site.take_in(ttl=7200)
        _, lease = site.launch()
        with pytest.raises(asyncio.CancelledError):
            await Reaper(site.leases, Ringing(site.clock), site.clock).run()
        assert site.leases.find(lease.token_hash) is not None

    scenario(body)


@pytest.mark.row("F10")
def test_deadlines_are_kept_again_after_a_full_disk_and_no_app_is_blamed_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def body() -> None:
        site = Site()
        site.take_in(ttl=7200)
        _, lease = site.launch()
        site.connect()
        reap, is_full = site.leases.reap, list[bool]()

        def full_at_first() -> object:
            if not is_full:
                is_full.append(True)
                site.clock.advance(timedelta(hours=1))
                raise StoreFullError("supernode.db")
            return reap()

        monkeypatch.setattr(site.leases, "reap", full_at_first)
        reaping = asyncio.create_task(Reaper(site.leases, site.wakeups, site.clock).run())

        def is_kept() -> bool:
            kept = site.leases.find(lease.token_hash)
            assert kept is not None
            return kept.until > site.clock.now()

        async with asyncio.timeout(60):
            while not is_full or not is_kept():
                site.wakeups.ring(["reaper"])
                await asyncio.sleep(0.01)
        assert not reaping.done()
        reaping.cancel()

    scenario(body)


class FakeProcess:
    def __init__(self) -> None:
        self.ended, self.stopped = asyncio.Event(), False

    async def wait(self) -> int:
        await self.ended.wait()
        return -9

    def cause_of_exit(self) -> str:
        return "was killed by SIGKILL"

    async def stop(self, grace: timedelta) -> int:
        self.stopped = True
        self.ended.set()
        return -9

    def signal(self, number: signal.Signals) -> None:
        raise AssertionError("it is asked to end, with its apps")


@pytest.mark.row("S6", "F7")
def test_a_superexec_that_dies_is_replaced_and_its_work_released() -> None:
    async def body() -> None:
        site = Site()
        asked = site.take_in()
        _, left_behind = site.launch()
        started: asyncio.Queue[FakeProcess] = asyncio.Queue()

        async def start(argv: Sequence[str], env: Mapping[str, str]) -> FakeProcess:
            process = FakeProcess()
            await started.put(process)
            return process

        async def release(cause: str) -> None:
            site.leases.revoke_all(cause)

        keeper = SuperExecKeeper(["superexec"], FakeClock(), on_end=release, start=start)
        running = asyncio.create_task(launch_apps(keeper, site.leases))
        first = await started.get()
        assert site.leases.find(left_behind.token_hash) is None  # of the node's last life
        _, lease = site.launch()
        site.apps.message(lease)
        first.ended.set()
        second = await started.get()
        assert site.leases.runs_to_launch() == [RUN]
        assert first.stopped

        site.launch()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert second.stopped
        reply = site.reply_to(asked.message_id)
        assert reply is not None  # three launches, three losses
        assert reply.error is not None

    scenario(body)


@pytest.mark.row("S40", "S62")
def test_app_output_is_kept_per_run_within_a_bound(tmp_path: Path) -> None:
    logs = AppLogs(tmp_path / "logs")
    logs.append(RUN, "hello ")
    logs.append(RUN, "world")
    logs.append(OTHER_RUN, "other")
    assert logs.read(RUN) == "hello world"

    for number in range(12):
        logs.append(RUN, str(number % 10) * (MAX_BYTES_PER_RUN // 8))
    kept = logs.read(RUN)
    assert len(kept) <= MAX_BYTES_PER_RUN
    assert kept.endswith("1")
    assert logs.read(OTHER_RUN) == "other"


@pytest.mark.row("S62")
def test_app_output_leaves_the_site_only_where_that_was_agreed(tmp_path: Path) -> None:
    async def body() -> None:
        shared: list[tuple[int, Sequence[str]]] = []

        async def share(run_id: int, fragments: Sequence[str]) -> None:
            shared.append((run_id, fragments))

        await AppLogs(tmp_path).take(RUN, ["a", "b"])
        assert shared == []
        await AppLogs(tmp_path, share=share).take(RUN, ["c"])
        assert shared == [(RUN, ["c"])]
        assert AppLogs(tmp_path).read(RUN) == "abc"

    scenario(body)
