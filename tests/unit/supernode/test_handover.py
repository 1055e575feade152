"""What arrives while an executor waits is granted as it is stored, and reaches exactly one call."""

import asyncio
import threading
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager

import pytest

from flwr.auth.app_tokens import hash_token
from flwr.core.app_choice import EVERY_APP, AppChoice, read_choice
from flwr.core.ids import RunId
from flwr.core.message import Delivery
from flwr.supernode.launches import WholeLaunch
from tests.fakes.statements import counted
from tests.unit.supernode import given
from tests.unit.supernode.given import OTHER_RUN, RUN, Sent, Site, scenario

# Of one small message whose executor waits, in SQL; more is a regression, less is welcome.
ARRIVAL_STATEMENTS = 2  # leases, and whether it is known
FINISH_STATEMENTS = 8  # instruction, objects, owners, reply and mark, context, two for the events


def connected(max_apps: int = 2) -> Site:
    site = Site(max_apps=max_apps)
    site.connect()
    for run_id in (RUN, OTHER_RUN):
        site.admit(run_id)
        site.intake._cleared.add(run_id)
    return site


def arriving(site: Site, text: str = "", run_id: RunId = RUN) -> tuple[Sent, Delivery]:
    sent = given.instruction(site.clock, run_id, text=text)
    return sent, Delivery(sent.delivery.envelope, sent.delivery.tree, sent.contents)


def arrive(site: Site, *deliveries: Delivery) -> None:
    """Store instructions as the inbox does, for those who wait."""
    waiters = site.handover.lend()
    site.handover.settle(waiters, site.intake.store_at_hand(deliveries, waiters))


def finish(site: Site, sent: Sent, launch: WholeLaunch, context: bytes) -> None:
    """Give a launch back as our runners do, with a reply."""
    reply = given.reply(sent.delivery.envelope, site.clock)
    whole = Delivery(reply.delivery.envelope, reply.delivery.tree, reply.contents)
    lease = site.leases.live.find(hash_token(launch.token))
    assert lease is not None
    site.launches.finish(lease, whole, context)


@asynccontextmanager
async def waiting(
    site: Site, choice: AppChoice = EVERY_APP
) -> AsyncIterator["asyncio.Task[WholeLaunch | None]"]:
    """Hold a call as the servicer does, from the moment it has found nothing."""
    call = asyncio.create_task(site.handover.wait(choice, (given.fab().fab_hash,)))
    await until_free(site)
    yield call
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)


async def until_free(site: Site) -> None:
    for _ in range(6000):
        if site.handover._free and site.handover._looking is None:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the call does not wait")


async def until_launchable(site: Site, run_id: RunId) -> None:
    for _ in range(6000):
        if site.leases.runs_to_launch() == [run_id]:
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the instruction does not wait for another launch")


@pytest.mark.row("S20")
def test_a_small_message_costs_two_transactions_when_an_executor_waits() -> None:
    async def body() -> None:
        site = connected()
        taken, finished = [], []
        for text in "ab":
            sent, delivery = arriving(site, text)
            async with waiting(site) as call:
                with counted(site.store) as asked:
                    arrive(site, delivery)
                    launch = await call
            assert launch is not None
            assert launch.delivery.contents == sent.contents
            assert asked.commits == 0, "it is written with its reply"
            taken.append(asked.statements)
            with counted(site.store) as asked:
                finish(site, sent, launch, b"the same context")
            assert asked.commits == 1
            finished.append(asked.statements)
            assert site.reply_to(sent.message_id) is not None
        assert len(taken[-1]) <= ARRIVAL_STATEMENTS, taken
        assert len(finished[0]) <= FINISH_STATEMENTS, finished
        assert len(finished[-1]) < len(finished[0]), "the context is there already"
        with site.store.reading() as tx:
            assert tx.contexts.find(RUN, given.NODE) == b"the same context"

    scenario(body)


def test_an_idle_node_looks_for_nothing_when_bells_ring() -> None:
    async def body() -> None:
        site = connected()
        async with waiting(site) as call:
            with counted(site.store) as asked:
                for _ in range(3):
                    site.wakeups.ring({"apps"})
                    await asyncio.sleep(0.02)
                await until_free(site)
            assert not call.done()
        assert asked.statements == []

    scenario(body)


def test_what_may_not_start_now_waits_and_is_found_later() -> None:
    async def body() -> None:
        site = connected()
        sent, first = arriving(site, "first")
        _, second = arriving(site, "second")
        async with waiting(site) as call:
            arrive(site, first)
            launch = await call
        assert launch is not None
        async with waiting(site) as call:
            arrive(site, second)
            await asyncio.sleep(0.05)
            assert not call.done(), "one app of a run at a time"
            finish(site, sent, launch, b"")
            launch = await call
            assert launch is not None
            assert launch.delivery.envelope == second.envelope

    scenario(body)


def test_one_executor_gets_one_of_two_runs_and_the_next_call_the_other() -> None:
    async def body() -> None:
        site = connected()
        _, one = arriving(site, run_id=RUN)
        _, other = arriving(site, run_id=OTHER_RUN)
        launched = []
        async with waiting(site) as call:
            arrive(site, one, other)
            launched.append(await call)
        launched.append(await site.handover.wait(EVERY_APP, ()))
        runs = [launch.delivery.envelope.run_id for launch in launched if launch]
        assert runs == [RUN, OTHER_RUN]

    scenario(body)


def test_an_executor_of_another_app_is_passed_over() -> None:
    async def body() -> None:
        site = connected()
        _, delivery = arriving(site)
        async with waiting(site, read_choice("acme/other-app")) as call:
            arrive(site, delivery)
            await asyncio.sleep(0.05)
            assert not call.done()
        assert site.leases.runs_to_launch() == [RUN]

    scenario(body)


def test_what_has_expired_on_its_way_is_granted_to_nobody() -> None:
    async def body() -> None:
        site = connected()
        sent = given.instruction(site.clock, ttl=-1.0)
        async with waiting(site) as call:
            arrive(site, Delivery(sent.delivery.envelope, sent.delivery.tree, sent.contents))
            await asyncio.sleep(0.05)
            assert not call.done()
        with site.store.reading() as tx:
            assert tx.leases.list() == []

    scenario(body)


@pytest.mark.row("F7")
def test_a_launch_whose_call_is_gone_waits_for_another_one() -> None:
    async def body() -> None:
        site = connected()
        _, delivery = arriving(site)
        async with waiting(site) as call:
            waiters = site.handover.lend()
            launches = site.intake.store_at_hand([delivery], waiters)
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)
            site.handover.settle(waiters, launches)
        (launch,) = launches.values()
        await until_launchable(site, RUN)
        assert site.leases.find(hash_token(launch.token)) is None
        with site.store.reading() as tx:
            found = tx.messages.find_instruction(delivery.envelope.message_id)
        assert found is not None
        assert found.attempts == 0

    scenario(body)


@pytest.mark.row("F7")
def test_a_launch_that_was_not_picked_up_in_time_waits_for_another_one() -> None:
    async def body() -> None:
        site = connected()
        _, delivery = arriving(site)
        async with waiting(site) as call:
            arrive(site, delivery)
            call.cancel()  # before the bell is heard
            await asyncio.gather(call, return_exceptions=True)
            await until_launchable(site, RUN)

    scenario(body)


def test_an_instruction_that_is_stored_while_its_executor_looks_is_found_by_it() -> None:
    async def body() -> None:
        site = connected()
        _, delivery = arriving(site)
        take = site.launches.take
        looked = asyncio.Event()
        loop = asyncio.get_running_loop()

        def take_slowly(
            choice: AppChoice = EVERY_APP, bundles: Collection[str] = ()
        ) -> WholeLaunch | None:
            taken = take(choice, bundles)
            if not looked.is_set():
                site.intake.store_at_hand([delivery])  # just after nothing was found
                loop.call_soon_threadsafe(looked.set)
            return taken

        site.launches.take = take_slowly  # type: ignore[method-assign]
        launch = await site.handover.wait(EVERY_APP, ())
        assert launch is not None

    scenario(body)


def test_a_wait_ends_with_its_daemon_even_while_it_is_looked_for_it() -> None:
    async def body() -> None:
        site = connected()
        take, begun, may_end = site.launches.take, threading.Event(), threading.Event()

        def take_slowly(
            choice: AppChoice = EVERY_APP, bundles: Collection[str] = ()
        ) -> WholeLaunch | None:
            begun.set()
            may_end.wait(60)
            return take(choice, bundles)

        site.launches.take = take_slowly  # type: ignore[method-assign]
        call = asyncio.create_task(site.handover.wait(EVERY_APP, ()))
        await asyncio.to_thread(begun.wait, 60)
        site.wakeups.close()
        may_end.set()
        async with asyncio.timeout(60):
            assert await call is None

    scenario(body)
