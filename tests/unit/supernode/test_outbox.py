import asyncio
import itertools
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from flwr.core.errors import InvalidError
from flwr.core.ids import ObjectId
from flwr.core.message import Delivery, ErrorCode
from flwr.store.errors import StoreFullError
from tests.unit.supernode.fakes import unreachable
from tests.unit.supernode.given import RUN, Sent, Site, scenario


@asynccontextmanager
async def sending(site: Site) -> AsyncIterator[None]:
    task = asyncio.create_task(site.outbox.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def replied(*, payload: bytes = b"") -> tuple[Site, Sent, Sent]:
    site = Site()
    asked = site.take_in()
    _, lease = site.launch()
    site.apps.message(lease)
    site.clock.advance(timedelta(seconds=4))
    sent = site.answer(lease, asked.delivery.envelope, payload=payload)
    site.apps.finish(lease, b"")
    site.connect()
    return site, asked, sent


def is_empty(site: Site) -> bool:
    with site.store.reading() as tx:
        return not tx.messages.for_run(RUN)


async def until_empty(site: Site) -> None:
    for _ in range(6000):
        if is_empty(site):
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the outbox did not empty")


@pytest.mark.row("S18", "F3")
def test_a_durable_reply_is_sent_with_its_objects_and_forgotten() -> None:
    async def body() -> None:
        site, asked, sent = replied(payload=b"y" * 300_000)
        async with sending(site):
            await until_empty(site)

        assert site.fleet.replies == {asked.message_id: sent.delivery.envelope}
        assert site.fleet.received.keys() == sent.contents.keys()
        assert site.fleet.runtimes == [4.0]
        with site.store.reading() as tx:
            assert all(tx.objects.get(object_id) is None for object_id in sent.contents)

    scenario(body)


@pytest.mark.row("F3", "F15")
def test_a_cut_connection_costs_only_time() -> None:
    async def body() -> None:
        site, asked, _ = replied(payload=b"y" * 10)
        site.fleet.failures = {"push_reply": [unreachable()], "push_object": [unreachable()]}
        async with sending(site):
            await until_empty(site)
        assert list(site.fleet.replies) == [asked.message_id]

    scenario(body)


def test_error_replies_the_node_made_are_sent_although_their_time_is_unknown() -> None:
    async def body() -> None:
        site = Site()
        asked = site.take_in()
        token, lease = site.launch()
        site.apps.message(lease)
        site.leases.report_exit(token, exit_code=-9, cause="was killed by SIGKILL")
        site.connect()
        async with sending(site):
            await until_empty(site)
        reply = site.fleet.replies[asked.message_id]
        assert reply.error is not None
        assert reply.error.code == ErrorCode.CLIENT_APP_CRASHED
        assert site.fleet.runtimes == [0.0]
        assert list(site.fleet.received) == [ObjectId(reply.message_id)]

    scenario(body)


def test_a_reply_that_comes_while_the_outbox_waits_is_sent_at_once() -> None:
    async def body() -> None:
        site = Site()
        asked = site.take_in()
        _, lease = site.launch()
        site.apps.message(lease)
        site.connect()
        async with sending(site):
            await site.wakeups.until_asleep(1, within_s=60)
            site.answer(lease, asked.delivery.envelope)
            assert await site.outbox.drain(timedelta(seconds=60))  # what there is to send is sent
            assert not site.fleet.replies, "what its app keeps is not stored yet"
            site.apps.finish(lease, b"kept")
            await until_empty(site)
        assert list(site.fleet.replies) == [asked.message_id]

    scenario(body)


def test_the_reply_of_a_run_that_is_over_is_dropped_with_the_run() -> None:
    async def body() -> None:
        site, _, _ = replied()
        site.fleet.stopped.add(RUN)
        async with sending(site):
            await until_empty(site)
        assert site.fleet.replies == {}
        assert site.runs.live() == []

    scenario(body)


def test_a_reply_the_superlink_refuses_becomes_an_error_reply() -> None:
    async def body() -> None:
        site, asked, _ = replied()
        site.fleet.failures = {"push_reply": [InvalidError("ttl outlives the instruction")]}
        async with sending(site):
            await until_empty(site)
        reply = site.fleet.replies[asked.message_id]
        assert reply.error is not None
        assert "ttl outlives" in reply.error.reason

    scenario(body)


@pytest.mark.row("F10")
def test_a_full_disk_at_the_end_of_a_run_leaves_the_reply_and_the_node(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def body() -> None:
        site, _, _ = replied()
        site.fleet.stopped.add(RUN)

        def full(_run_ids: object, *, why: str) -> None:
            raise StoreFullError("supernode.db")

        monkeypatch.setattr(site.runs, "end", full)
        monkeypatch.setattr("flwr.supernode.outbox._STORAGE_PAUSE", timedelta())
        task = asyncio.create_task(site.outbox.run())
        await site.fleet.until(lambda: site.fleet.calls["push_reply"] >= 2)  # tried on
        assert not task.done()
        assert not is_empty(site)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    scenario(body)


@pytest.mark.row("F44")
def test_draining_waits_for_what_is_under_way() -> None:
    async def body() -> None:
        site, asked, _ = replied()
        async with sending(site):
            assert await site.outbox.drain(timedelta(seconds=60))
            assert list(site.fleet.replies) == [asked.message_id]

    scenario(body)


@pytest.mark.row("F44")
def test_draining_waits_for_what_is_begun_while_it_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body() -> None:
        site, asked, _ = replied()
        read, loop, looks = site.outbox._read_due, asyncio.get_running_loop(), itertools.count(1)
        is_draining, has_begun = threading.Event(), threading.Event()
        is_sending, has_looked = asyncio.Event(), asyncio.Event()

        def read_slowly() -> list[Delivery]:
            look = next(looks)
            if look == 1:  # the sender's
                loop.call_soon_threadsafe(is_sending.set)
                assert is_draining.wait(60)
            elif look == 2:
                is_draining.set()
                assert has_begun.wait(60)
            due = read()
            if look == 2:
                loop.call_soon_threadsafe(has_looked.set)
            return due

        async def push_slowly() -> None:
            has_begun.set()
            await has_looked.wait()
            for _ in range(100):  # turns, in which a drain that does not wait would end
                await asyncio.sleep(0)

        monkeypatch.setattr(site.outbox, "_read_due", read_slowly)
        site.fleet.hooks["push_reply"] = push_slowly
        async with sending(site):
            await is_sending.wait()
            assert await site.outbox.drain(timedelta(seconds=60))
            assert list(site.fleet.replies) == [asked.message_id]

    scenario(body)


def test_draining_ends_when_patience_does() -> None:
    async def body() -> None:
        site, _, _ = replied()
        site.fleet.failures = {"push_reply": [unreachable() for _ in range(50)]}
        async with sending(site):
            assert not await site.outbox.drain(timedelta(milliseconds=100))
        assert not is_empty(site)

    scenario(body)
