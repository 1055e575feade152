import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import pytest

from flwr.auth.app_tokens import hash_token
from flwr.core.errors import FlwrError
from flwr.core.ids import ObjectId, RunId
from flwr.core.limits import TRANSFERS_IN_PARALLEL
from flwr.core.message import Delivery, ErrorCode
from flwr.store.errors import StoreFullError
from flwr.supernode.inbox import INTAKES_AT_ONCE
from flwr.wire.clients.fleet import FetchedFab, PulledObject
from tests.unit.supernode import given
from tests.unit.supernode.fakes import unreachable
from tests.unit.supernode.given import OTHER_RUN, RUN, Sent, Site, scenario


@asynccontextmanager
async def receiving(site: Site) -> AsyncIterator[None]:
    task = asyncio.create_task(site.inbox.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def connected(**switches: object) -> Site:
    site = Site(**switches)  # type: ignore[arg-type]
    site.connect()
    for run_id in (RUN, OTHER_RUN):
        site.fleet.runs[run_id] = given.run(site.clock, run_id)
    site.fleet.fabs[given.fab().fab_hash] = given.sent_fab()
    return site


def offer(site: Site, sent: Sent) -> Sent:
    site.fleet.offer(sent.delivery, sent.contents)
    return sent


@pytest.mark.row("S3", "S19")
def test_instructions_are_taken_in_and_the_bundle_is_fetched_once() -> None:
    async def body() -> None:
        site = connected()
        for number in (1, 2, 3):
            offer(site, given.instruction(site.clock, text=str(number), payload=b"x" * 100_000))
        offer(site, given.instruction(site.clock, OTHER_RUN))
        async with receiving(site):
            await site.fleet.until(lambda: len(site.fleet.confirmed) == 4)

        assert site.fleet.calls["get_run"] == 2
        assert site.fleet.calls["get_fab"] == 1  # the other run has the same bundle
        assert set(site.leases.runs_to_launch()) == {RUN, OTHER_RUN}
        assert "apps" in site.rung

    scenario(body)


def test_an_object_that_is_here_already_is_not_pulled_again() -> None:
    async def body() -> None:
        site = connected()
        first = offer(site, given.instruction(site.clock, text="1", payload=b"model"))
        async with receiving(site):
            await site.fleet.until(lambda: len(site.fleet.confirmed) == 1)
            pulled = site.fleet.calls["pull_object"]
            assert pulled == len(first.contents)
            offer(site, given.instruction(site.clock, text="2", payload=b"model"))
            await site.fleet.until(lambda: len(site.fleet.confirmed) == 2)
            assert site.fleet.calls["pull_object"] == pulled + 1  # the new Message object

    scenario(body)


@pytest.mark.row("F2")
def test_nothing_is_confirmed_before_it_is_durable() -> None:
    async def body() -> None:
        site = connected()
        sent = offer(site, given.instruction(site.clock))

        async def look() -> None:
            with site.store.reading() as tx:
                stored = tx.messages.find_instruction(sent.message_id)
                assert stored is not None
                assert stored.ready
                assert tx.objects.missing(sent.message_id) == []

        site.fleet.hooks["confirm"] = look
        async with receiving(site):
            await site.fleet.until(lambda: site.fleet.confirmed == [sent.message_id])

    scenario(body)


@pytest.mark.row("F2", "F8")
def test_an_instruction_handed_out_twice_is_executed_once() -> None:
    async def body() -> None:
        site = connected()
        sent = offer(site, given.instruction(site.clock))
        offer(site, sent)
        async with receiving(site):
            await site.fleet.until(lambda: len(site.fleet.confirmed) >= 1)
            offer(site, sent)
            await site.fleet.until(lambda: len(site.fleet.confirmed) >= 2)

        site.launch()
        with site.store.reading() as tx:
            assert len(tx.messages.for_run(RUN)) == 1
            assert tx.messages.waiting_runs(given.NODE, site.clock.now()) == []

    scenario(body)


@pytest.mark.row("F8")
def test_an_intake_cut_off_half_way_goes_on_after_a_restart() -> None:
    async def body() -> None:
        site = connected()
        sent = given.instruction(site.clock, payload=b"x" * 10)
        site.admit()
        held = ObjectId(sent.message_id)
        with site.store.transaction() as tx:
            tx.messages.add_instruction(
                sent.delivery.envelope,
                sent.delivery.tree,
                now=site.clock.now(),
                expires_at=site.clock.now().replace(year=2030),
                ready=False,
            )
            tx.objects.preregister(RUN, sent.message_id, sent.delivery.tree)
            tx.objects.put(held, sent.contents[held])
        site.fleet.objects.update(sent.contents)
        async with receiving(site):
            await site.fleet.until(lambda: site.fleet.confirmed == [sent.message_id])

        assert site.fleet.calls["pull_object"] == len(sent.contents) - 1
        assert site.leases.runs_to_launch() == [RUN]

    scenario(body)


@pytest.mark.row("F13")
def test_damaged_objects_are_asked_for_again_and_at_last_answered() -> None:
    async def body() -> None:
        site = connected()
        good, bad = (
            given.instruction(site.clock, text=text, payload=text.encode()) for text in "ab"
        )
        site.fleet.damaged = {ObjectId(good.message_id): 2, ObjectId(bad.message_id): 3}
        offer(site, good)
        offer(site, bad)
        async with receiving(site):
            await site.fleet.until(lambda: len(site.fleet.confirmed) == 2)

        assert site.reply_to(good.message_id) is None
        reply = site.reply_to(bad.message_id)
        assert reply is not None
        assert reply.error is not None
        assert reply.error.code == ErrorCode.MESSAGE_UNAVAILABLE
        assert "damaged 3 times" in reply.error.reason

    scenario(body)


def test_an_object_still_on_its_way_is_waited_for_and_a_missing_one_is_answered() -> None:
    async def body() -> None:
        site = connected()
        late, gone = (given.instruction(site.clock, text=text) for text in "ab")
        site.fleet.late = {ObjectId(late.message_id): 2}
        offer(site, late)
        offer(site, gone)
        del site.fleet.objects[ObjectId(gone.message_id)]
        async with receiving(site):
            await site.fleet.until(lambda: len(site.fleet.confirmed) == 2)

        assert site.reply_to(late.message_id) is None
        reply = site.reply_to(gone.message_id)
        assert reply is not None
        assert reply.error is not None
        assert reply.error.code == ErrorCode.MESSAGE_UNAVAILABLE

    scenario(body)


@pytest.mark.row("F12", "F31")
def test_a_bundle_with_another_hash_is_answered_not_executed() -> None:
    async def body() -> None:
        site = connected()
        site.fleet.fabs[given.fab().fab_hash] = FetchedFab(given.fab().fab_hash, b"something else")
        sent = offer(site, given.instruction(site.clock))
        async with receiving(site):
            await site.fleet.until(lambda: len(site.fleet.confirmed) == 1)

        reply = site.reply_to(sent.message_id)
        assert reply is not None
        assert reply.error is not None
        assert reply.error.code == ErrorCode.INVALID_FAB
        assert site.leases.runs_to_launch() == []

    scenario(body)


def test_an_app_nobody_trusted_vouches_for_is_answered_every_time() -> None:
    async def body() -> None:
        site = connected(distrust="no trusted entity signed it")
        sent = [offer(site, given.instruction(site.clock, text=text)) for text in "ab"]
        async with receiving(site):
            await site.fleet.until(lambda: len(site.fleet.confirmed) == 2)

        for one in sent:
            reply = site.reply_to(one.message_id)
            assert reply is not None
            assert reply.error is not None
            assert reply.error.code == ErrorCode.INVALID_FAB
        assert site.leases.runs_to_launch() == []

    scenario(body)


@pytest.mark.row("S63")
def test_runs_the_server_says_have_ended_are_wiped() -> None:
    async def body() -> None:
        site = connected()
        site.take_in()
        token, _ = site.launch()
        site.fleet.ended = [RUN]
        async with receiving(site):
            await site.fleet.until(lambda: site.fleet.calls["pull_messages"] == 2)

        assert not site.leases.heartbeat(hash_token(token), next_in=None)
        assert site.runs.live() == []

    scenario(body)


def test_an_instruction_of_a_run_that_is_over_is_dropped() -> None:
    async def body() -> None:
        site = connected()
        site.fleet.stopped.add(RUN)
        sent = offer(site, given.instruction(site.clock))
        async with receiving(site):
            await site.fleet.until(lambda: site.fleet.calls["pull_messages"] == 2)

        assert site.reply_to(sent.message_id) is None
        assert site.fleet.confirmed == []

    scenario(body)


@pytest.mark.row("F15", "F16")
def test_a_lost_connection_is_waited_out() -> None:
    async def body() -> None:
        site = connected()
        for call in ("pull_messages", "get_fab", "pull_object", "confirm"):
            site.fleet.failures[call] = [unreachable()]
        sent = offer(site, given.instruction(site.clock))
        async with receiving(site):
            await site.fleet.until(lambda: site.fleet.confirmed == [sent.message_id])
        assert site.leases.runs_to_launch() == [RUN]

    scenario(body)


def test_a_server_that_stumbles_is_asked_again() -> None:
    async def body() -> None:
        site = connected()
        site.fleet.failures["get_run"] = [FlwrError("Exception calling application")]
        sent = offer(site, given.instruction(site.clock))
        async with receiving(site):
            await site.fleet.until(lambda: site.fleet.confirmed == [sent.message_id])
        assert site.reply_to(sent.message_id) is None

    scenario(body)


@pytest.mark.row("F35")
def test_an_instruction_with_a_ttl_that_is_no_number_stops_nobody() -> None:
    async def body() -> None:
        site = connected()
        odd = offer(site, given.instruction(site.clock, text="odd", ttl=float("nan")))
        good = offer(site, given.instruction(site.clock, text="good"))
        async with receiving(site):
            await site.fleet.until(lambda: good.message_id in site.fleet.confirmed)
        assert odd.message_id != good.message_id

    scenario(body)


@pytest.mark.row("F35")
def test_a_bug_met_by_one_instruction_is_answered_and_stops_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def body() -> None:
        site = connected()
        bad, good = (offer(site, given.instruction(site.clock, text=t)) for t in ("bad", "good"))
        store = site.intake.store

        async def fails_on_one(delivery: Delivery) -> None:
            if delivery.envelope.message_id == bad.message_id:
                raise ZeroDivisionError
            await store(delivery)

        monkeypatch.setattr(site.intake, "store", fails_on_one)
        async with receiving(site):
            await site.fleet.until(lambda: site.fleet.confirmed == [good.message_id])
        answer = site.reply_to(bad.message_id)
        assert answer is not None
        assert answer.error is not None

    scenario(body)


@pytest.mark.row("F10")
def test_a_full_disk_at_the_end_of_a_run_does_not_end_the_node(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def body() -> None:
        site = connected()
        site.take_in()
        end, tries = site.runs.end, iter(range(9))

        def full_at_first(run_ids: Iterable[RunId], *, why: str) -> list[RunId]:
            if next(tries) == 0:
                site.fleet.ended = [RUN]  # it is said again
                raise StoreFullError("supernode.db")
            return end(run_ids, why=why)

        monkeypatch.setattr(site.runs, "end", full_at_first)
        site.fleet.ended = [RUN]
        async with receiving(site):
            await site.fleet.until(lambda: site.fleet.calls["pull_messages"] == 3)
        assert site.runs.live() == []

    scenario(body)


@pytest.mark.row("F17", "S40")
def test_a_run_whose_content_never_comes_holds_up_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def body() -> None:
        site = connected()
        for number in range(2):
            offer(site, given.instruction(site.clock, text=str(number), payload=b"stuck"))
        good = offer(site, given.instruction(site.clock, OTHER_RUN, payload=b"good"))
        pull, held = site.fleet.pull_object, []

        async def pull_or_hold(run_id: RunId, object_id: ObjectId) -> PulledObject:
            if run_id == RUN:
                held.append(object_id)
                await asyncio.Event().wait()  # as a SuperLink holds the call
            return await pull(run_id, object_id)

        monkeypatch.setattr(site.fleet, "pull_object", pull_or_hold)
        async with receiving(site):
            await site.fleet.until(lambda: good.message_id in site.fleet.confirmed)
            await site.fleet.until(lambda: len(held) == TRANSFERS_IN_PARALLEL)

    scenario(body)


def test_no_more_is_pulled_while_all_intakes_are_busy() -> None:
    async def body() -> None:
        site = connected()
        for number in range(INTAKES_AT_ONCE + 4):
            sent = offer(site, given.instruction(site.clock, text=str(number)))
            site.fleet.late[ObjectId(sent.message_id)] = 1000
        async with receiving(site):
            await site.fleet.until(lambda: site.fleet.calls["pull_messages"] == INTAKES_AT_ONCE)
            await asyncio.sleep(0.2)
            assert site.fleet.calls["pull_messages"] == INTAKES_AT_ONCE

    scenario(body)
