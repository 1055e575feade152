"""Messages between 64 KiB and 2 MiB on a line: whole, in one frame, and durable when promised."""

import pytest

from flwr.core.ids import NodeId
from flwr.core.limits import ENCLOSED_CALL_BYTES, ENCLOSED_MESSAGE_BYTES, INLINE_OBJECT_BYTES
from flwr.shell.in_thread import in_thread
from flwr.store.payloads import Payloads
from flwr.superlink.rpc import lines, taking
from flwr.wire.codec.lines import fitting
from tests.unit.superlink.federation import INTERVAL_S, Link
from tests.unit.superlink.raw_lines import whole
from tests.unit.superlink.served import Served, on_a_served_link
from tests.unit.superlink.test_lines import CountingClient, joined

PAYLOAD = b"p" * 1_000_000
OTHER = b"o" * 1_000_000


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Note which files the disk is waited for."""
    names: list[str] = []
    sync = Payloads._sync_one

    def note(self: Payloads, name: str) -> bool:
        if is_here := sync(self, name):
            names.append(name)
        return is_here

    monkeypatch.setattr(Payloads, "_sync_one", note)
    return names


async def on_its_line(served: Served) -> tuple[CountingClient, NodeId]:
    node, node_id = await joined(served)
    assert isinstance(node, CountingClient)
    return node, node_id


def test_a_megabyte_each_way_is_no_call(
    link: Link, monkeypatch: pytest.MonkeyPatch, synced: list[str]
) -> None:
    monkeypatch.setattr(taking, "_SETTLE_S", 0.0)

    async def body(served: Served) -> None:
        node, node_id = await on_its_line(served)
        run, _ = link.running()
        sent = link.instruction(run, node_id, payload=PAYLOAD)
        enqueued = await in_thread(link.messages.enqueue, run.run_id, [whole(sent)])
        assert enqueued.missing == []
        await in_thread(link.messages.settle, enqueued.unsettled)
        assert len(synced) == 1, "its sender is promised that it is here"
        (delivery,) = (await node.pull_messages([run.run_id])).deliveries
        assert delivery.contents == sent.objects
        reply = link.reply_to(sent, payload=OTHER)
        assert await node.push_reply(whole(reply), 0.5) == []
        assert len(synced) == 2, "the node was promised that it is here"
        (got,) = await in_thread(link.messages.collect, run.run_id, [sent.message_id], whole=True)
        assert got.contents == reply.objects
        assert node.calls == 0

    on_a_served_link(link, body)


def test_a_reply_that_is_collected_never_waits_for_the_disk(
    link: Link, monkeypatch: pytest.MonkeyPatch, synced: list[str]
) -> None:
    monkeypatch.setattr(taking, "_SETTLE_S", INTERVAL_S)

    async def body(served: Served) -> None:
        node, node_id = await on_its_line(served)
        run, _ = link.running()
        sent = link.send(run, node_id)
        await node.pull_messages([run.run_id])
        reply = whole(link.reply_to(sent, payload=OTHER))
        answered = await in_thread(link.messages.accept_reply, node_id, reply, runtime_s=0.5)
        assert answered.unsettled
        assert synced == []
        link.messages.confirm_replies(run.run_id, [reply.envelope.message_id])
        await in_thread(link.messages.settle, answered.unsettled)
        assert synced == []

    on_a_served_link(link, body)


def test_while_much_is_on_its_way_large_ones_follow_by_streams(
    link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "LINES_BYTES", -1)

    async def body(served: Served) -> None:
        node, node_id = await on_its_line(served)
        run, _ = link.running()
        large = link.instruction(run, node_id, payload=PAYLOAD)
        await in_thread(link.messages.enqueue, run.run_id, [whole(large)])
        (delivery,) = (await node.pull_messages([run.run_id])).deliveries
        assert delivery.contents == {}
        assert delivery == large.delivery
        small = link.instruction(run, node_id)
        await in_thread(link.messages.enqueue, run.run_id, [whole(small)])
        (delivery,) = (await node.pull_messages([run.run_id])).deliveries
        assert delivery.is_whole

    on_a_served_link(link, body)


def test_what_no_frame_has_room_for_goes_with_the_next(link: Link) -> None:
    run, _ = link.running()
    node_id = link.online().node_id
    payload = bytes(ENCLOSED_MESSAGE_BYTES - INLINE_OBJECT_BYTES)
    many = [whole(link.instruction(run, node_id, payload=payload)) for _ in range(5)]
    assert fitting(many) == ENCLOSED_CALL_BYTES // ENCLOSED_MESSAGE_BYTES
    assert fitting(many[:1]) == 1
    assert fitting([]) == 0
