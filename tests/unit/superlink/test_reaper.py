import asyncio
from datetime import datetime, timedelta

import pytest

from flwr.core.clock import SystemClock
from flwr.core.node import NodeStatus
from flwr.core.run import RunStatus
from flwr.shell.in_thread import in_thread
from flwr.shell.wakeups import Wakeups
from flwr.store.store import open_store
from flwr.superlink.reaper import _MARGIN
from tests.fakes.operations import await_operations
from tests.fakes.wakeups import WatchedWakeups
from tests.unit.superlink.federation import INTERVAL_S, Link


def test_nothing_to_wait_for_means_no_deadline(link: Link) -> None:
    assert link.reaper.sweep() is None


def test_a_bundle_is_deleted_after_the_last_run_that_needs_it(link: Link) -> None:
    (run, _), (other, token) = link.running(), link.running()

    def has_fab() -> bool:
        link.reaper.sweep()
        with link.store.reading() as tx:
            return tx.fabs.find(run.fab_hash) is not None

    link.launches.update_status(run.run_id, RunStatus.COMPLETED, "")
    assert has_fab()
    link.launches.update_status(other.run_id, RunStatus.FAILED, "why")
    assert not has_fab()
    assert not link.launches.heartbeat(link.hash_of(token))


def test_the_next_deadline_is_the_earliest_of_all(link: Link) -> None:
    run, token = link.running()
    node = link.online()
    link.launches.heartbeat(link.hash_of(token), timedelta(seconds=8))
    link.send(run, node.node_id, ttl=20.0)
    now = link.clock.now()
    assert link.reaper.sweep() == now + timedelta(seconds=20)
    link.pass_time(20)
    assert link.reaper.sweep() == now + timedelta(seconds=40)
    link.pass_time(20)
    assert link.reaper.sweep() == now + timedelta(seconds=2 * INTERVAL_S)
    assert link.run(run.run_id).status is RunStatus.FAILED


@pytest.mark.row("F9")
def test_a_reaper_that_was_paused_blames_nobody(link: Link) -> None:
    async def body() -> None:
        wakeups = Wakeups()
        run, _ = link.running()
        node = link.online()
        reaping = asyncio.ensure_future(link.reaper.run(wakeups))
        while link.reaper._due is None:  # noqa: ASYNC110 - the reaper's own state, no event
            await asyncio.sleep(0.01)
        link.pass_time(3600)  # everything was frozen for an hour
        wakeups.ring(["reaper"])
        async with asyncio.timeout(60):
            while link.reaper._due is None or link.reaper._due < link.clock.now():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        reaping.cancel()
        assert link.run(run.run_id).status is RunStatus.RUNNING
        assert link.nodes.online(run.run_id) == [node.node_id]

    asyncio.run(body())


@pytest.mark.row("F9")
def test_a_reaper_that_is_paused_before_it_sweeps_blames_nobody(
    link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body() -> None:
        run, _ = link.running()
        node = link.online()

        def pausing(now: datetime) -> datetime | None:
            link.pass_time(3600)
            return sweep(now)

        sweep = link.reaper.sweep
        monkeypatch.setattr(link.reaper, "sweep", pausing)
        await link.reaper._sweep_before(link.clock.now())
        assert link.run(run.run_id).status is RunStatus.RUNNING
        monkeypatch.setattr(link.reaper, "sweep", sweep)
        await link.reaper._sweep_before(link.clock.now())
        assert link.run(run.run_id).status is RunStatus.RUNNING
        assert link.nodes.online(run.run_id) == [node.node_id]

    asyncio.run(body())


@pytest.mark.row("F10")
def test_nobody_is_blamed_for_a_time_in_which_we_could_not_write(
    link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flwr.store.errors import StoreFullError

    async def body() -> None:
        wakeups = Wakeups()
        run, _ = link.running()
        node = link.online()
        link.pass_time(3600)  # no heartbeat could be written
        tries: list[None] = []

        def full_at_first(_now: object) -> None:
            tries.append(None)
            raise StoreFullError("link.db")

        reap = link.reaper._reap
        monkeypatch.setattr(link.reaper, "_reap", full_at_first)
        monkeypatch.setattr("flwr.superlink.reaper._RETRY", timedelta(milliseconds=10))
        reaping = asyncio.ensure_future(link.reaper.run(wakeups))
        async with asyncio.timeout(60):
            while not tries:  # noqa: ASYNC110 - the reaper's own state, no event
                await asyncio.sleep(0.005)
            monkeypatch.setattr(link.reaper, "_reap", reap)  # somebody freed space
            while link.reaper._due is None:  # noqa: ASYNC110 - the reaper's own state, no event
                await asyncio.sleep(0.005)
        reaping.cancel()
        assert link.run(run.run_id).status is RunStatus.RUNNING
        assert link.nodes.online(run.run_id) == [node.node_id]

    asyncio.run(body())


def test_a_lease_that_becomes_due_is_noticed_without_polling(fab: bytes) -> None:
    async def body() -> None:
        wakeups = Wakeups()
        store = open_store(":memory:")
        link = Link(store, SystemClock(), fab)  # type: ignore[arg-type]
        store.subscribe(wakeups.ring)
        reaping = asyncio.ensure_future(link.reaper.run(wakeups))
        run, token = await in_thread(link.running)
        often = timedelta(milliseconds=200)
        await in_thread(link.launches.heartbeat, link.hash_of(token), often)

        async def is_over() -> bool | None:
            return link.run(run.run_id).is_final or None

        over = await wakeups.until([f"ended:{run.run_id}"], is_over, timeout=timedelta(seconds=60))
        reaping.cancel()
        await asyncio.gather(reaping, return_exceptions=True)
        await_operations()  # the run ended in the middle of a sweep, which goes on
        store.close()
        assert over

    asyncio.run(body())


def test_a_deadline_ahead_is_slept_until_not_watched(link: Link) -> None:
    async def body() -> None:
        wakeups = WatchedWakeups()
        run, _ = link.running()
        link.send(run, link.online().node_id, ttl=8.0)
        due = link.clock.now() + timedelta(seconds=8)
        reaping = asyncio.ensure_future(link.reaper.run(wakeups))
        async with asyncio.timeout(60):
            while len(wakeups.timeouts) < 2:  # noqa: ASYNC110 - the first is a look, no wait
                await asyncio.sleep(0.005)
        await wakeups.until_asleep(1, within_s=60)
        reaping.cancel()
        await asyncio.gather(reaping, return_exceptions=True)
        assert wakeups.timeouts == [timedelta(), due - link.clock.now() + _MARGIN]

    asyncio.run(body())


def test_lapsed_nodes_stay_registered(link: Link) -> None:
    node = link.online()
    link.pass_time(2 * INTERVAL_S)
    link.reaper.sweep()
    with link.store.reading() as tx:
        assert tx.nodes.require(node.node_id).status is NodeStatus.OFFLINE
