"""Bytes of objects (wire contract §8.1): build, read and check them; no numpy, no app values.

``HEAD NUL BODY``, HEAD = type, blank, child ids joined with commas, blank, length of the body.
The id of an object is the SHA-256 of all of it.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from google.protobuf.message import DecodeError

from flwr.core.errors import ErrorKind, FlwrError
from flwr.core.ids import SUPERLINK_NODE, MessageId, NodeId, ObjectId, RunId, is_object_id
from flwr.core.message import SYSTEM_MESSAGE, Envelope, ErrorCode, MessageError
from flwr.proto import message_pb2
from flwr.wire.codec.messages import decode_envelope, encode_envelope

Content = bytes | bytearray | memoryview
"""An object's bytes; views let large ones be read without a copy."""

MAX_HEAD_BYTES: Final = 65 * 1_000_000 + 64  # a head of limits.MAX_TREE_OBJECTS child ids


class ObjectType(StrEnum):
    """Type names in heads: the sender's class names."""

    ARRAY_CHUNK = "ArrayChunk"
    ARRAY = "Array"
    ARRAY_RECORD = "ArrayRecord"
    METRIC_RECORD = "MetricRecord"
    CONFIG_RECORD = "ConfigRecord"
    RECORD_DICT = "RecordDict"
    MESSAGE = "Message"


_TYPES: Final[Mapping[str, ObjectType]] = {
    **{str(kind): kind for kind in ObjectType},
    # Class names of before 1.17 that apps still use; read, never written (§19 no. 32).
    "ParametersRecord": ObjectType.ARRAY_RECORD,
    "MetricsRecord": ObjectType.METRIC_RECORD,
    "ConfigsRecord": ObjectType.CONFIG_RECORD,
    "RecordSet": ObjectType.RECORD_DICT,
}
_HEAD_PARTS: Final = 3
_HEAD_LOOK_BYTES: Final = 4096  # most heads are shorter
_HEAD_LOOK_GROWTH: Final = 8
_LENGTH_DIGITS: Final = 10  # limits.MAX_RPC_BYTES has as many


class MalformedObjectError(FlwrError):
    """The bytes are no object of the contract's form."""

    kind = ErrorKind.FAILED_PRECONDITION

    def __init__(self, why: str) -> None:
        """Say what is wrong with them."""
        super().__init__(f"malformed object: {why}")


@dataclass(frozen=True, slots=True)
class ObjectHead:
    """What the head of an object says."""

    type: ObjectType
    children: tuple[ObjectId, ...]
    body_bytes: int
    body_at: int  # offset of the body


def object_id_of(content: Content) -> ObjectId:
    """Return the id of an object."""
    return ObjectId(hashlib.sha256(content).hexdigest())


def encode_head(kind: ObjectType, children: Iterable[ObjectId], body_bytes: int) -> bytes:
    """Return the head of an object, its NUL included."""
    return f"{kind} {','.join(children)} {body_bytes}\0".encode()


def build_object(kind: ObjectType, children: Iterable[ObjectId], body: Content) -> bytes:
    """Return the bytes of an object; ``children`` holds each id once, in first-use order."""
    return b"".join((encode_head(kind, children, len(body)), body))


def head_of(content: Content) -> ObjectHead:
    """Read the head of an object without looking at its body.

    Raises:
        MalformedObjectError: it is none.
    """
    end = _find_nul(content)
    parts = str(content[:end], "utf-8", "replace").split(" ")
    if len(parts) != _HEAD_PARTS:
        raise MalformedObjectError(f"its head has {len(parts)} parts instead of {_HEAD_PARTS}")
    name, ids, length = parts
    if name not in _TYPES:
        raise MalformedObjectError(f"there is no type {name[:80]!r}")
    children = tuple(map(ObjectId, ids.split(","))) if ids else ()
    if not all(map(is_object_id, children)):
        raise MalformedObjectError("a child's id is not 64 hex digits")
    if not (length.isascii() and length.isdigit() and len(length) <= _LENGTH_DIGITS):
        raise MalformedObjectError(f"the length of its body is {length[:80]!r}")
    return ObjectHead(_TYPES[name], children, int(length), end + 1)


def check_object(content: Content) -> ObjectHead:
    """Return the head of an object that is well-formed and complete (§8.2).

    Raises:
        MalformedObjectError: naming the rule it breaks.
    """
    head = head_of(content)
    present = len(content) - head.body_at
    if present != head.body_bytes:
        raise MalformedObjectError(f"its body has {present} bytes, its head says {head.body_bytes}")
    return head


def check_object_in_pieces(read: Callable[[int, int], bytes], size: int) -> ObjectHead:
    """Return the head of an object that is well-formed and complete, without reading its body.

    Args:
        read: returns up to so many bytes (second) from an offset (first) on.
        size: of the object.

    Raises:
        MalformedObjectError: naming the rule it breaks.
    """
    looked = _HEAD_LOOK_BYTES
    while b"\0" not in (start := read(0, looked)) and looked < min(size, MAX_HEAD_BYTES):
        looked = min(looked * _HEAD_LOOK_GROWTH, MAX_HEAD_BYTES)
    head = head_of(start)
    if size - head.body_at != head.body_bytes:
        raise MalformedObjectError(
            f"its body has {size - head.body_at} bytes, its head says {head.body_bytes}"
        )
    return head


def message_object(envelope: Envelope, content: ObjectId | None = None) -> bytes:
    """Return the object of a message; ``content`` is its RecordDict, None for an error."""
    message = encode_envelope(envelope)
    message.ClearField("content")
    message.metadata.ClearField("message_id")
    children = (content,) if content else ()
    return build_object(ObjectType.MESSAGE, children, message.SerializeToString(deterministic=True))


def decode_message_object(content: Content) -> Envelope:
    """Return what a message's object says; its id is computed from the bytes.

    Raises:
        MalformedObjectError: it is no object of a message.
    """
    head = check_object(content)
    if head.type is not ObjectType.MESSAGE:
        raise MalformedObjectError(f"it is a {head.type}, not a Message")
    try:
        message = message_pb2.Message.FromString(bytes(content[head.body_at :]))
    except DecodeError as cause:
        raise MalformedObjectError("its body is no Message") from cause
    if message.HasField("error") == bool(head.children) or len(head.children) > 1:
        raise MalformedObjectError("a Message has one child, or an error and no child")
    if not message.HasField("error"):
        message.content.SetInParent()
    message.metadata.message_id = object_id_of(content)
    return decode_envelope(message)


def error_reply(
    instruction: Envelope,
    code: ErrorCode,
    reason: str,
    *,
    now: datetime,
    src: NodeId | None = None,
) -> tuple[Envelope, bytes]:
    """Answer ``instruction`` with an error.

    Args:
        instruction: what is answered.
        code: see ``ErrorCode``.
        reason: free text for a person.
        now: by our own clock.
        src: who answers; None: the asked node.  The SuperLink itself gives 1 (§7.4).

    Returns:
        The reply's envelope, with its id, and the only object it consists of.
    """
    created_at = now.timestamp()
    ttl = instruction.created_at + instruction.ttl - created_at
    if ttl <= 0:  # our clock runs ahead of the sender's: its own stamps are the latest it accepts
        created_at, ttl = instruction.created_at, instruction.ttl
    return _with_id(
        Envelope(
            message_id=MessageId(""),
            run_id=instruction.run_id,
            src_node_id=instruction.dst_node_id if src is None else src,
            dst_node_id=SUPERLINK_NODE,
            reply_to=instruction.message_id,
            group_id=instruction.group_id,
            message_type=instruction.message_type,
            created_at=created_at,
            ttl=ttl,
            error=MessageError(int(code), reason),
        ),
    )


def unknown_reply(asked: MessageId, reason: str, *, now: datetime) -> tuple[Envelope, bytes]:
    """Answer for an instruction the SuperLink does not know, or no longer (§7.4, code 3)."""
    return _with_id(
        Envelope(
            message_id=MessageId(""),
            run_id=RunId(0),
            src_node_id=SUPERLINK_NODE,
            dst_node_id=SUPERLINK_NODE,
            reply_to=asked,
            message_type=SYSTEM_MESSAGE,
            created_at=now.timestamp(),
            ttl=0.0,
            error=MessageError(int(ErrorCode.MESSAGE_UNAVAILABLE), reason),
        ),
    )


def _with_id(draft: Envelope) -> tuple[Envelope, bytes]:
    content = message_object(draft)
    return replace(draft, message_id=MessageId(object_id_of(content))), content


def _find_nul(content: Content) -> int:
    # A view has no find(); heads are short, so look at growing prefixes of it.
    looked = _HEAD_LOOK_BYTES
    while True:
        end = bytes(content[:looked]).find(0)
        if end >= 0:
            return end
        if looked >= min(len(content), MAX_HEAD_BYTES):
            raise MalformedObjectError("it has no NUL byte after its head")
        looked *= _HEAD_LOOK_GROWTH
