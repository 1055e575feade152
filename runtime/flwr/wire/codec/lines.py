"""Frames of a node's line <-> bytes (``flwr.compose.v1.NodeLine``): what both ends have to say."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from google.protobuf.message import DecodeError

from flwr.core.errors import ErrorKind, FlwrError, InvalidError
from flwr.core.ids import MessageId, ObjectId, RunId
from flwr.core.limits import ENCLOSED_CALL_BYTES
from flwr.core.message import Delivery
from flwr.proto.compose.v1 import line_pb2
from flwr.wire.codec.deliveries import enclose, with_contents
from flwr.wire.codec.messages import decode_deliveries, encode_envelope, encode_tree
from flwr.wire.transport import failure_of

if TYPE_CHECKING:
    Frame = line_pb2.NodeFrame | line_pb2.LinkFrame

NODE_LINE: Final = "/flwr.compose.v1.NodeLine/"
OPEN: Final = f"{NODE_LINE}Open"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a SuperLink says to one reply."""

    reply_id: MessageId
    missing: Sequence[ObjectId] = ()
    """Objects to push otherwise."""
    refusal: FlwrError | None = None


@dataclass(slots=True)
class NodeSays:
    """What a node has to say, gathered for its next frame, or read in one."""

    taken: int = 0
    active: Sequence[RunId] | None = None
    received: list[MessageId] = field(default_factory=list)
    replies: list[tuple[Delivery, float]] = field(default_factory=list)
    """Small ones, with their objects; and the seconds that the ClientApp took."""
    asks: bool = False


@dataclass(slots=True)
class LinkSays:
    """What a SuperLink has to say, gathered for its next frame, or read in one."""

    deliveries: list[Delivery] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    ended_runs: list[RunId] = field(default_factory=list)
    heard: bool = False

    def __bool__(self) -> bool:
        """Tell whether there is anything."""
        return bool(self.deliveries or self.answers or self.ended_runs or self.heard)


def fitting(deliveries: Iterable[Delivery]) -> int:
    """Return how many of the first of these one frame has room for; one, if there is any."""
    count, room = 0, ENCLOSED_CALL_BYTES
    for delivery in deliveries:
        room -= delivery.size_bytes
        if count and room < 0:
            break
        count += 1
    return count


def encode_node_frame(said: NodeSays) -> bytes:
    """Return the frame of a node."""
    frame = line_pb2.NodeFrame(taken=said.taken, received=said.received, asks=said.asks)
    if said.active is not None:
        frame.active.run_ids.extend(said.active)
    if said.replies:
        _write(frame, [reply for reply, _ in said.replies])
        frame.clientapp_runtime_list.extend(runtime_s for _, runtime_s in said.replies)
    return frame.SerializeToString()


def decode_node_frame(raw: bytes) -> NodeSays:
    """Return what a node says.

    Raises:
        InvalidError: it is no frame, or something in it is malformed.
    """
    try:
        return read_node_frame(line_pb2.NodeFrame.FromString(raw))
    except DecodeError as cause:
        raise InvalidError("a frame of the line cannot be decoded") from cause


def read_node_frame(frame: line_pb2.NodeFrame) -> NodeSays:
    """Return what a decoded frame, such as the opening, says.

    Raises:
        InvalidError: something in it is malformed.
    """
    said = NodeSays(taken=frame.taken, asks=frame.asks)
    said.received.extend(map(MessageId, frame.received))
    if frame.HasField("active"):
        said.active = [RunId(run_id) for run_id in frame.active.run_ids]
    if frame.messages_list:
        replies, times = _read(frame), frame.clientapp_runtime_list
        if len(times) != len(replies):
            raise InvalidError(f"{len(replies)} replies came with {len(times)} times")
        said.replies.extend(zip(replies, times, strict=True))
    return said


def encode_link_frame(said: LinkSays) -> bytes:
    """Return the frame of a SuperLink."""
    frame = line_pb2.LinkFrame(ended_runs=said.ended_runs, heard=said.heard)
    if said.deliveries:
        _write(frame, said.deliveries)
    frame.answers.extend(map(_encode_answer, said.answers))
    return frame.SerializeToString()


def decode_link_frame(raw: bytes) -> LinkSays:
    """Return what a SuperLink says.

    Raises:
        InvalidError: it is no frame, or something in it is malformed.
    """
    try:
        frame = line_pb2.LinkFrame.FromString(raw)
    except DecodeError as cause:
        raise InvalidError("a frame of the line cannot be decoded") from cause
    return LinkSays(
        deliveries=_read(frame) if frame.messages_list else [],
        answers=list(map(_decode_answer, frame.answers)),
        ended_runs=[RunId(run_id) for run_id in frame.ended_runs],
        heard=frame.heard,
    )


def _write(frame: "Frame", deliveries: Sequence[Delivery]) -> None:
    enclosed: dict[ObjectId, bytes] = {}
    room = ENCLOSED_CALL_BYTES
    for delivery in deliveries:
        frame.messages_list.append(encode_envelope(delivery.envelope))
        frame.message_object_trees.append(encode_tree(delivery.tree))
        if delivery.contents and delivery.is_whole:
            room = enclose(delivery, enclosed, room)
    frame.objects.extend(enclosed.values())


def _read(frame: "Frame") -> list[Delivery]:
    plain = decode_deliveries(frame.messages_list, frame.message_object_trees)
    return with_contents(plain, frame.objects)


def _encode_answer(answer: Answer) -> line_pb2.Answer:
    encoded = line_pb2.Answer(reply_id=answer.reply_id, missing=answer.missing)
    if (refusal := answer.refusal) is not None:
        encoded.refusal.kind = str(refusal.kind)
        encoded.refusal.message, encoded.refusal.hint = refusal.message, refusal.hint
    return encoded


def _decode_answer(answer: line_pb2.Answer) -> Answer:
    refusal = None
    if answer.HasField("refusal"):
        said = answer.refusal
        try:
            kind = ErrorKind(said.kind)
        except ValueError:  # of a newer release
            kind = ErrorKind.INTERNAL
        refusal = failure_of(kind, said.message, hint=said.hint)
    missing = [ObjectId(object_id) for object_id in answer.missing]
    return Answer(MessageId(answer.reply_id), missing, refusal)
