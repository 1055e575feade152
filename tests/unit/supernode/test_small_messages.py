"""Small messages travel whole: how few calls and statements one of them costs a node."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from flwr.core.errors import FlwrError
from flwr.core.ids import MessageId, ObjectId
from flwr.core.limits import ENCLOSED_MESSAGE_BYTES
from flwr.core.message import Delivery
from flwr.store.errors import StoreFullError
from flwr.store.store import Store
from flwr.supernode.inbox import INTAKES_AT_ONCE
from tests.fakes.statements import counted
from tests.unit.supernode import given
from tests.unit.supernode.given import OTHER_RUN, RUN, Sent, Site, scenario

# Of one small message, in SQL; more is a regression, less is welcome.
STORE_STATEMENTS = 6  # the row, its objects, their owners, what is missing, and two for the event


@asynccontextmanager
async def working(site: Site) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(work) for work in (site.inbox.run(), site.outbox.run())]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def enclosing(store: Store | None = None) -> Site:
    site = Site(store=store or given.store())
    site.connect()
    site.fleet.encloses = True
    for run_id in (RUN, OTHER_RUN):
        site.fleet.runs[run_id] = given.run(site.clock, run_id)
    site.fleet.fabs[given.fab().fab_hash] = given.sent_fab()
    return site


def offer(site: Site, text: str, *, payload: bytes = b"") -> Sent:
    sent = given.instruction(site.clock, text=text, payload=payload)
    site.fleet.offer(sent.delivery, sent.contents)
    return sent


async def until_confirmed(site: Site, *sent: Sent) -> None:
    await site.fleet.until(lambda: {s.message_id for s in sent} <= set(site.fleet.confirmed))


def answered(site: Site, asked: Sent) -> Sent:
    """Let an app take the instruction and answer it with one call that carries everything."""
    _, lease = site.launch()
    site.apps.message(lease)
    reply = given.reply(asked.delivery.envelope, site.clock)
    whole = Delivery(reply.delivery.envelope, reply.delivery.tree, reply.contents)
    site.launches.finish(lease, whole, b"")
    return reply


def kept(site: Site) -> list[MessageId]:
    with site.store.reading() as tx:
        return [found.message_id for found in tx.messages.for_run(RUN)]


async def until_kept(site: Site, *message_ids: MessageId) -> None:
    for _ in range(6000):
        if kept(site) == list(message_ids):
            return
        await asyncio.sleep(0.01)
    raise AssertionError(kept(site))


@pytest.mark.row("S3", "S19")
def test_what_comes_whole_costs_one_transaction_and_no_call() -> None:
    async def body() -> None:
        site = enclosing()
        async with working(site):
            await until_confirmed(site, offer(site, "the first of the run"))
            before = site.fleet.calls.copy()
            with counted(site.store) as asked:
                await until_confirmed(site, offer(site, "small"))
        assert set(site.fleet.calls - before) == {"pull_messages"}
        assert asked.commits == 1
        assert len(asked.statements) <= STORE_STATEMENTS, asked.statements

    scenario(body)


def test_what_one_answer_brings_is_stored_in_one_transaction() -> None:
    async def body() -> None:
        site = enclosing()
        async with working(site):
            await until_confirmed(site, offer(site, "the first of the run"))
            site.fleet.at_once = 3
            with counted(site.store) as asked:
                sent = [offer(site, text) for text in "abc"]
                await until_confirmed(site, *sent)
        assert asked.commits == 1
        assert {one.message_id for one in sent} <= set(kept(site))

    scenario(body)


def test_the_first_of_a_run_brings_its_objects_too() -> None:
    async def body() -> None:
        site = enclosing()
        async with working(site):
            await until_confirmed(site, offer(site, "first"))
        assert site.fleet.calls["pull_object"] == 0
        assert site.fleet.calls["confirm"] == 1  # the pull that follows left before
        assert site.leases.runs_to_launch() == [RUN]

    scenario(body)


@pytest.mark.row("F2")
def test_what_came_whole_is_confirmed_only_when_it_is_durable() -> None:
    async def body() -> None:
        site = enclosing()
        seen = []

        async def look() -> None:
            for message_id in site.fleet.confirmed:
                with site.store.reading() as tx:
                    found = tx.messages.find_instruction(message_id)
                    assert found is not None
                    assert found.ready
                    assert tx.objects.missing(message_id) == []
                seen.append(message_id)

        site.fleet.hooks["pull_messages"] = look
        async with working(site):
            await until_confirmed(site, offer(site, "first"))
            second = offer(site, "second")
            await until_confirmed(site, second)
            await site.fleet.until(lambda: second.message_id in seen)

    scenario(body)


@pytest.mark.row("F2", "F8")
def test_what_is_handed_out_twice_is_kept_once_and_confirmed_again() -> None:
    async def body() -> None:
        site = enclosing()
        async with working(site):
            await until_confirmed(site, offer(site, "first"))
            sent = offer(site, "again")
            await until_confirmed(site, sent)
            site.fleet.offer(sent.delivery, sent.contents)
            await site.fleet.until(lambda: site.fleet.confirmed.count(sent.message_id) == 2)
        assert kept(site).count(sent.message_id) == 1

    scenario(body)


@pytest.mark.row("F8")
def test_what_was_half_taken_in_before_is_completed_by_what_comes_along(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("flwr.supernode.intake.LONGEST_WAIT", timedelta(milliseconds=100))

    async def body() -> None:
        site = enclosing()
        sent = given.instruction(site.clock, text="half")
        site.admit()
        with site.store.transaction() as tx:
            envelope, now = sent.delivery.envelope, site.clock.now()
            until = now + timedelta(minutes=5)
            tx.messages.add_instruction(
                envelope, sent.delivery.tree, now=now, expires_at=until, ready=False
            )
            tx.objects.preregister(RUN, sent.message_id, sent.delivery.tree)
        site.fleet.objects.update(sent.contents)
        site.fleet.late = dict.fromkeys(sent.contents, 1000)
        async with working(site):
            await site.fleet.until(lambda: site.fleet.calls["pull_object"] > 0)
            await until_confirmed(site, offer(site, "clears the run"))
            site.fleet.offer(sent.delivery, sent.contents)
            site.fleet.late = {}
            await until_confirmed(site, sent)
        assert set(site.leases.runs_to_launch()) == {RUN}

    scenario(body)


def test_what_claims_to_be_small_and_is_not_is_kept_as_a_large_one() -> None:
    async def body() -> None:
        site = enclosing()
        async with working(site):
            await until_confirmed(site, offer(site, "first"))
            large = offer(site, "large", payload=b"x" * (ENCLOSED_MESSAGE_BYTES + 1))
            await until_confirmed(site, large)
        with site.store.reading() as tx:
            assert all(tx.objects.get(part) == large.contents[part] for part in large.contents)

    scenario(body)


@pytest.mark.row("F10")
def test_a_full_disk_is_waited_for_on_the_long_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flwr.supernode.inbox._STORAGE_PAUSE", timedelta(milliseconds=10))

    async def body() -> None:
        site = enclosing()
        full = iter([True, True])
        transaction = site.sent.transaction

        def fails_twice() -> object:
            if next(full, False):
                raise StoreFullError("supernode.db")
            return transaction()

        async with working(site):
            await until_confirmed(site, offer(site, "first"))
            monkeypatch.setattr(site.sent, "transaction", fails_twice)
            sent = offer(site, "while the disk is full")
            await until_confirmed(site, sent)
        assert sent.message_id in kept(site)

    scenario(body)


def test_a_pull_that_is_refused_confirms_nothing_and_the_repetition_is_confirmed() -> None:
    async def body() -> None:
        site = enclosing()
        async with working(site):
            await until_confirmed(site, offer(site, "first"))
            sent = offer(site, "small")

            async def refuse_once() -> None:
                if sent.message_id in site.fleet.confirmed:
                    site.fleet.hooks.clear()
                    site.fleet.confirmed.remove(sent.message_id)
                    site.fleet.offer(sent.delivery, sent.contents)
                    raise FlwrError("Exception calling application")

            site.fleet.hooks["pull_messages"] = refuse_once
            await until_confirmed(site, sent)
        assert kept(site).count(sent.message_id) == 1

    scenario(body)


def test_what_came_whole_is_confirmed_by_a_call_when_no_pull_can_follow() -> None:
    async def body() -> None:
        site = enclosing()
        async with working(site):
            await until_confirmed(site, offer(site, "first"))
            site.fleet.encloses, site.fleet.at_once = False, INTAKES_AT_ONCE
            for number in range(INTAKES_AT_ONCE - 1):
                stuck = offer(site, f"stuck {number}")
                site.fleet.late[ObjectId(stuck.message_id)] = 1000
            await site.fleet.until(lambda: site.fleet.calls["pull_object"] >= 4)
            site.fleet.encloses, site.fleet.at_once = True, 2
            small, stuck = offer(site, "small"), offer(site, "the last slot")
            del site.fleet.objects[ObjectId(stuck.message_id)]
            site.fleet.objects[ObjectId(stuck.message_id)] = None
            site.fleet.late[ObjectId(stuck.message_id)] = 1000
            await until_confirmed(site, small)
        assert site.fleet.calls["confirm"] == 2

    scenario(body)


@pytest.mark.row("S18", "F3")
def test_a_small_reply_is_sent_by_one_call_without_being_read() -> None:
    async def body() -> None:
        site = enclosing()
        async with working(site):
            asked = offer(site, "first")
            await until_confirmed(site, asked)
            before = site.fleet.calls.copy()
            reply = answered(site, asked)
            with counted(site.store) as read:
                await site.fleet.until(lambda: asked.message_id in site.fleet.replies)
            assert read.statements == []
            assert (site.fleet.calls - before)["push_object"] == 0
            assert site.fleet.received.keys() == reply.contents.keys()
            await until_kept(site)

    scenario(body)


@pytest.mark.row("F3")
def test_a_sent_reply_is_forgotten_with_the_next_instruction(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("flwr.supernode.outbox.FORGET_AFTER", timedelta(minutes=1))

    async def body() -> None:
        site = enclosing()
        async with working(site):
            asked = offer(site, "first")
            await until_confirmed(site, asked)
            answered(site, asked)
            await site.fleet.until(lambda: bool(site.sent))
            with counted(site.store) as written:
                following = offer(site, "second")
                await until_confirmed(site, following)
            assert written.commits == 1
            assert kept(site) == [following.message_id]

    scenario(body)


@pytest.mark.row("F3")
def test_a_reply_sent_and_not_forgotten_is_sent_again_after_a_crash() -> None:
    async def body() -> None:
        site = enclosing()
        async with working(site):
            asked = offer(site, "first")
            await until_confirmed(site, asked)
            reply = answered(site, asked)
            await site.fleet.until(lambda: bool(site.sent))

        again = Site(store=site.store, fleet=site.fleet)
        again.connect()
        with counted(again.store) as read:
            async with working(again):
                await site.fleet.until(lambda: site.fleet.calls["push_reply"] == 2)
                await until_kept(again)
        assert site.fleet.replies == {asked.message_id: reply.delivery.envelope}
        assert site.fleet.calls["push_object"] == 0
        assert len([s for s in read.statements if "object.content" in s and "SELECT" in s]) == 1

    scenario(body)


def test_what_is_offered_before_the_outbox_runs_is_found_by_it() -> None:
    async def body() -> None:
        site = enclosing()
        asked = site.take_in()
        answered(site, asked)
        await asyncio.sleep(0)
        async with working(site):
            await site.fleet.until(lambda: asked.message_id in site.fleet.replies)

    scenario(body)


def test_more_replies_than_are_sent_at_once_all_leave() -> None:
    async def body() -> None:
        site = enclosing()
        site.max_apps = 50
        asked = [site.take_in(text=str(number)) for number in range(9)]
        async with working(site):
            await asyncio.sleep(0.05)
            for one in asked:
                answered(site, one)
            await site.fleet.until(lambda: len(site.fleet.replies) == len(asked))
            assert await site.outbox.drain(timedelta(seconds=60))
        assert kept(site) == []
        assert site.fleet.calls["push_reply"] == len(asked)

    scenario(body)


def test_a_run_that_ended_takes_no_instruction_that_comes_whole() -> None:
    async def body() -> None:
        site = enclosing()
        async with working(site):
            await until_confirmed(site, offer(site, "first"))
            site.runs.end([RUN], why="over")
            site.fleet.stopped.add(RUN)
            late = offer(site, "late")
            pulls = site.fleet.calls["pull_messages"]
            await site.fleet.until(lambda: site.fleet.calls["pull_messages"] >= pulls + 2)
        assert late.message_id not in kept(site)
        assert late.message_id not in site.fleet.confirmed

    scenario(body)
