"""Large objects of a node in pieces: resumed, asked again when damaged, never whole in memory."""

import tracemalloc

import pytest

from flwr.core.ids import ObjectId
from flwr.core.limits import PIECE_BYTES
from flwr.core.message import ErrorCode
from tests.unit.supernode import given
from tests.unit.supernode.given import Sent, Site, scenario
from tests.unit.supernode.test_inbox import connected, offer, receiving
from tests.unit.supernode.test_outbox import replied, sending, until_empty

PAYLOAD = bytes(range(256)) * 1000


def streaming() -> Site:
    site = connected()
    site.fleet.has_streams = True
    return site


def large(site: Site, payload: bytes = PAYLOAD) -> Sent:
    return offer(site, given.instruction(site.clock, payload=payload))


def chunk_of(sent: Sent) -> ObjectId:
    return max(sent.contents, key=lambda key: len(sent.contents[key]))


def is_here(site: Site, sent: Sent) -> bool:
    with site.store.reading() as tx:
        return all(tx.objects.get(key) == content for key, content in sent.contents.items())


async def until_confirmed(site: Site) -> None:
    async with receiving(site):
        await site.fleet.until(lambda: bool(site.fleet.confirmed))


def test_a_large_instruction_comes_in_one_stream() -> None:
    async def body() -> None:
        site = streaming()
        sent = large(site)
        await until_confirmed(site)
        assert is_here(site, sent)
        assert site.fleet.calls["pull_pieces"] == 1
        assert site.fleet.calls["pull_object"] == 0

    scenario(body)


def test_a_superlink_without_streams_is_asked_object_by_object() -> None:
    async def body() -> None:
        site = connected()
        sent = large(site)
        await until_confirmed(site)
        assert is_here(site, sent)
        assert site.fleet.calls["pull_object"] == len(sent.contents)

    scenario(body)


def test_a_stream_that_broke_goes_on_within_the_object() -> None:
    async def body() -> None:
        site = streaming()
        sent = large(site)
        site.fleet.breaks_after = 100
        await until_confirmed(site)
        assert is_here(site, sent)
        first, second = site.fleet.asked
        assert all(one.offset == 0 for one in first)
        assert second[0].object_id == chunk_of(sent)
        assert second[0].offset == 100 * site.fleet.piece_bytes

    scenario(body)


@pytest.mark.row("F13")
def test_a_damaged_object_is_asked_for_again_as_suspected() -> None:
    async def body() -> None:
        site = streaming()
        sent = large(site)
        site.fleet.damaged = {chunk_of(sent): 2}
        await until_confirmed(site)
        assert is_here(site, sent)
        again = site.fleet.asked[1:]
        assert [[one.is_suspected for one in asked] for asked in again] == [[True], [True]]

    scenario(body)


@pytest.mark.row("F13")
def test_an_object_that_stays_damaged_is_answered_with_an_error() -> None:
    async def body() -> None:
        site = streaming()
        sent = large(site)
        site.fleet.damaged = {chunk_of(sent): 9}
        await until_confirmed(site)
        reply = site.reply_to(sent.message_id)
        assert reply is not None
        assert reply.error is not None
        assert reply.error.code == ErrorCode.MESSAGE_UNAVAILABLE
        assert "damaged 3 times" in reply.error.reason

    scenario(body)


def test_an_object_on_its_way_is_waited_for() -> None:
    async def body() -> None:
        site = streaming()
        sent = large(site)
        site.fleet.late = {chunk_of(sent): 2}
        await until_confirmed(site)
        assert is_here(site, sent)
        assert [len(asked) for asked in site.fleet.asked] == [len(sent.contents), 1, 1]

    scenario(body)


def test_an_object_that_is_gone_is_answered_with_an_error() -> None:
    async def body() -> None:
        site = streaming()
        sent = large(site)
        del site.fleet.objects[chunk_of(sent)]
        await until_confirmed(site)
        assert site.reply_to(sent.message_id) is not None

    scenario(body)


def test_a_large_reply_leaves_in_one_stream() -> None:
    async def body() -> None:
        site, asked, sent = replied(payload=PAYLOAD)
        site.fleet.has_streams = True
        async with sending(site):
            await until_empty(site)
        assert site.fleet.replies == {asked.message_id: sent.delivery.envelope}
        assert site.fleet.received == sent.contents
        assert site.fleet.calls["push_pieces"] == 1
        assert site.fleet.calls["push_object"] == 0

    scenario(body)


def test_a_push_that_broke_sends_only_what_was_not_taken() -> None:
    async def body() -> None:
        site, _asked, sent = replied(payload=PAYLOAD)
        site.fleet.has_streams, site.fleet.breaks_after = True, 0
        async with sending(site):
            await until_empty(site)
        assert site.fleet.received == sent.contents
        assert site.fleet.calls["push_pieces"] == 2
        assert site.fleet.pushed_twice == []

    scenario(body)


def test_a_node_holds_a_few_pieces_however_large_the_payload() -> None:
    async def body() -> None:
        site = streaming()
        site.fleet.piece_bytes = PIECE_BYTES
        sent = large(site, bytes(32 * PIECE_BYTES))
        tracemalloc.start()
        try:
            await until_confirmed(site)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 4 * PIECE_BYTES
        with site.store.reading() as tx:
            assert not tx.objects.missing(sent.delivery.envelope.message_id)

    scenario(body)


def test_a_node_reads_its_reply_in_pieces() -> None:
    async def body() -> None:
        site, _asked, _sent = replied(payload=bytes(32 * PIECE_BYTES))
        site.fleet.has_streams, site.fleet.keeps_received = True, False
        tracemalloc.start()
        try:
            async with sending(site):
                await until_empty(site)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 6 * PIECE_BYTES

    scenario(body)
