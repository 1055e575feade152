"""Messages that bring their objects along, and what a peer that knows nothing of it sees."""

import pytest

from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.app.metadata import stamp
from flwr.core.ids import MessageId
from flwr.core.limits import ENCLOSED_CALL_BYTES, ENCLOSED_MESSAGE_BYTES
from flwr.core.message import Delivery
from flwr.proto import appio_pb2, fleet_pb2
from flwr.proto.compose.v1 import messages_pb2
from flwr.wire.codec.deliveries import (
    read_deliveries,
    read_received,
    write_deliveries,
    write_received,
)
from flwr.wire.codec.messages import decode_deliveries
from flwr.wire.object_format import MalformedObjectError
from flwr.wire.objects import deflate

np = pytest.importorskip("numpy")


def message_of(size: int, *, node_id: int = 7, shared: bool = True) -> Message:
    """Return an instruction with an array of ``size`` bytes."""
    array = np.full(size, 1 if shared else node_id, dtype=np.uint8)
    content = RecordDict({"model": ArrayRecord([array]), "config": ConfigRecord({"lr": 0.1})})
    message = Message(content, dst_node_id=node_id, message_type="train")
    stamp(message.metadata, run_id=3, message_id="", src_node_id=1)
    return message


def test_a_small_message_travels_whole() -> None:
    sent = deflate(message_of(100)).delivery()
    carrier = appio_pb2.PushAppMessagesRequest()
    write_deliveries(carrier, [sent])
    received = appio_pb2.PushAppMessagesRequest.FromString(carrier.SerializeToString())
    (got,) = read_deliveries(received)
    assert got == sent
    assert got.is_whole
    assert got.contents == sent.contents


def test_a_large_message_is_only_announced() -> None:
    sent = deflate(message_of(ENCLOSED_MESSAGE_BYTES)).delivery()
    assert not sent.contents
    carrier = fleet_pb2.PullMessagesResponse()
    write_deliveries(carrier, [sent])
    assert len(carrier.SerializeToString()) < 2_000
    (got,) = read_deliveries(carrier)
    assert got == sent
    assert not got.is_whole


def test_an_object_of_many_messages_is_written_once() -> None:
    many = [deflate(message_of(10_000, node_id=n)).delivery() for n in range(2, 22)]
    carrier = appio_pb2.PullAppMessagesResponse()
    write_deliveries(carrier, many)
    assert len(carrier.SerializeToString()) < 30_000
    assert all(one.is_whole for one in read_deliveries(carrier))


def test_one_call_carries_no_more_than_it_may() -> None:
    size = ENCLOSED_MESSAGE_BYTES - 4_096
    one_more = ENCLOSED_CALL_BYTES // size + 1
    many = [
        deflate(message_of(size, node_id=n, shared=False)).delivery()
        for n in range(2, 2 + one_more)
    ]
    carrier = appio_pb2.PullAppMessagesResponse()
    write_deliveries(carrier, many)
    received = read_deliveries(carrier)
    assert received == many
    assert [one.is_whole for one in received] == [True] * (one_more - 1) + [False]
    assert sum(len(c) for one in received for c in one.contents.values()) <= ENCLOSED_CALL_BYTES


def test_peers_that_do_not_know_it_read_the_plain_contract() -> None:
    sent = deflate(message_of(100)).delivery()
    carrier = fleet_pb2.PushMessagesRequest()
    write_deliveries(carrier, [sent])
    known = fleet_pb2.PushMessagesRequest.FromString(carrier.SerializeToString())
    known.DiscardUnknownFields()  # type: ignore[attr-defined]  # the stubs lack it
    (got,) = decode_deliveries(known.messages_list, known.message_object_trees)
    assert got == sent


def test_objects_are_known_by_their_true_ids_only() -> None:
    sent = deflate(message_of(100)).delivery()
    stranger = deflate(message_of(200)).delivery()
    carrier = appio_pb2.PushAppMessagesRequest()
    write_deliveries(carrier, [Delivery(sent.envelope, sent.tree)])
    enclosed = messages_pb2.Enclosed(objects=stranger.contents.values())
    carrier.MergeFromString(enclosed.SerializeToString())
    (got,) = read_deliveries(carrier)
    assert set(got.contents) <= set(sent.tree.walk())
    assert not got.is_whole


def test_what_is_no_object_is_refused() -> None:
    carrier = appio_pb2.PushAppMessagesRequest()
    carrier.MergeFromString(messages_pb2.Enclosed(objects=[b"junk"]).SerializeToString())
    with pytest.raises(MalformedObjectError):
        read_deliveries(carrier)


def test_received_ids_travel_with_a_pull() -> None:
    request = fleet_pb2.PullMessagesRequest()
    ids = [MessageId("a" * 64), MessageId("b" * 64)]
    write_received(request, ids)
    assert (
        read_received(fleet_pb2.PullMessagesRequest.FromString(request.SerializeToString())) == ids
    )
    assert read_received(fleet_pb2.PullMessagesRequest()) == []
