"""Messages with the objects they bring along <-> the calls that carry them.

The contract moves every object by a call of its own.  Between our own parts a small message brings
its objects along, in a field that other peers skip (``flwr.compose.v1.Enclosed``).
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError

from flwr.core.errors import InvalidError
from flwr.core.ids import MessageId, NodeId, ObjectId
from flwr.core.limits import ENCLOSED_CALL_BYTES, ENCLOSED_MESSAGE_BYTES
from flwr.core.message import Delivery
from flwr.proto.compose.v1 import messages_pb2
from flwr.wire.codec.messages import decode_deliveries, encode_deliveries
from flwr.wire.object_format import check_object, object_id_of

if TYPE_CHECKING:
    from flwr.proto import appio_pb2, fleet_pb2

    Carrier = (
        appio_pb2.PushAppMessagesRequest
        | appio_pb2.PullAppMessagesResponse
        | fleet_pb2.PushMessagesRequest
        | fleet_pb2.PullMessagesResponse
    )
    Pull = appio_pb2.PullAppMessagesRequest | fleet_pb2.PullMessagesRequest


def write_deliveries(
    carrier: "Carrier", deliveries: Iterable[Delivery], *, online: Sequence[NodeId] = ()
) -> None:
    """Put messages into a call, and with them the objects of those that are whole and small.

    An object that many messages share is written once.

    Args:
        carrier: the request or response.
        deliveries: the messages.
        online: nodes that are, told along.
    """
    enclosed: dict[ObjectId, bytes] = {}
    room = ENCLOSED_CALL_BYTES
    known = list(deliveries)
    messages, trees = encode_deliveries(known)
    carrier.messages_list.extend(messages)
    carrier.message_object_trees.extend(trees)
    for delivery in known:
        if delivery.contents and delivery.is_whole:
            room = enclose(delivery, enclosed, room)
    if enclosed or online:
        along = messages_pb2.Enclosed(objects=enclosed.values(), online=online)
        carrier.MergeFromString(along.SerializeToString())


def read_deliveries(carrier: "Carrier", *, at_most: int | None = None) -> list[Delivery]:
    """Return the messages of a call, each with those of its objects that came along.

    Args:
        carrier: the request or response.
        at_most: how many messages to look at; None: all.

    Raises:
        InvalidError: the two lists differ in length, or a message or tree is malformed.
        MalformedObjectError: what came along is no object.
    """
    messages, trees = carrier.messages_list[:at_most], carrier.message_object_trees[:at_most]
    return with_contents(decode_deliveries(messages, trees), _enclosed_in(carrier).objects)


def read_replies(
    response: "appio_pb2.PullAppMessagesResponse",
) -> tuple[list[Delivery], list[NodeId]]:
    """Return the messages of a call as ``read_deliveries``, and the nodes it says are online."""
    plain = decode_deliveries(response.messages_list, response.message_object_trees)
    along = _enclosed_in(response)
    return with_contents(plain, along.objects), [NodeId(node_id) for node_id in along.online]


def with_contents(plain: list[Delivery], objects: Iterable[bytes]) -> list[Delivery]:
    """Return messages with those of their objects that came along.

    Raises:
        MalformedObjectError: what came along is no object.
    """
    contents = {}
    room = ENCLOSED_CALL_BYTES
    for content in objects:
        room -= len(content)
        if len(content) > ENCLOSED_MESSAGE_BYTES or room < 0:
            continue  # more than we read at once: it can still follow by the contract
        check_object(content)
        contents[object_id_of(content)] = content
    if not contents:
        return plain
    return [
        Delivery(one.envelope, one.tree, {i: contents[i] for i in one.tree.walk() if i in contents})
        for one in plain
    ]


def write_received(request: "Pull", message_ids: Sequence[MessageId]) -> None:
    """Say with a pull which messages of earlier ones arrived whole."""
    if message_ids:
        received = messages_pb2.Received(message_ids=message_ids)
        request.MergeFromString(received.SerializeToString())


def read_received(request: "Pull") -> list[MessageId]:
    """Return which messages of earlier pulls arrived whole.

    Raises:
        InvalidError: they cannot be read.
    """
    try:
        received = messages_pb2.Received.FromString(request.SerializeToString())
    except DecodeError as cause:
        raise InvalidError("the ids of received messages cannot be decoded") from cause
    return [MessageId(message_id) for message_id in received.message_ids]


def _enclosed_in(carrier: "Carrier") -> messages_pb2.Enclosed:
    try:
        return messages_pb2.Enclosed.FromString(carrier.SerializeToString())
    except DecodeError as cause:
        raise InvalidError("what messages bring along cannot be decoded") from cause


def enclose(delivery: Delivery, enclosed: dict[ObjectId, bytes], room: int) -> int:
    """Add the objects of one small message if there is room; return the room that is left."""
    new = {i: content for i, content in delivery.contents.items() if i not in enclosed}
    size = sum(map(len, delivery.contents.values()))
    added = sum(map(len, new.values()))
    if size > ENCLOSED_MESSAGE_BYTES or added > room:
        return room
    enclosed.update(new)
    return room - added
