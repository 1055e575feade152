"""Pieces of large objects <-> bytes (``flwr.compose.v1.Bulk``), without copying what they carry.

The data of a piece is the last field of its message, so it is appended, and read as a view.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from google.protobuf.message import DecodeError

from flwr.core.errors import InvalidError
from flwr.core.ids import NodeId, ObjectId, RunId
from flwr.core.limits import HATCH_PIECE_BYTES
from flwr.proto import node_pb2
from flwr.proto.compose.v1 import bulk_pb2

_DATA_TAG: Final = 15 << 3 | 2  # field 15, length-delimited
_LENGTH_BITS: Final = 7
_LAST_OF_VARINT: Final = 0x80
_MOST_HEAD_BYTES: Final = 64
_EMPTY: Final = memoryview(b"")


class Absence(IntEnum):
    """Why an object has no data."""

    NONE = bulk_pb2.ABSENCE_NONE
    UNKNOWN = bulk_pb2.ABSENCE_UNKNOWN
    AWAITED = bulk_pb2.ABSENCE_AWAITED


@dataclass(frozen=True, slots=True)
class Piece:
    """Some consecutive bytes of an object, or why there are none."""

    index: int
    """Place of the object in the list of the request."""
    size: int = 0
    """Of the whole object, in bytes."""
    offset: int = 0
    data: memoryview = _EMPTY
    absence: Absence = Absence.NONE


@dataclass(frozen=True, slots=True)
class Invitation:
    """Where a daemon has its hatch, and what opens it, once."""

    address: bytes
    ticket: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Wanted:
    """An object to pull, from ``offset`` on."""

    object_id: ObjectId
    offset: int = 0
    is_suspected: bool = False


def encode_pull(node_id: NodeId, run_id: RunId, wanted: Sequence[Wanted]) -> bulk_pb2.PullRequest:
    """Return the request of Pull."""
    objects = [
        bulk_pb2.Wanted(object_id=one.object_id, offset=one.offset, suspected=one.is_suspected)
        for one in wanted
    ]
    return bulk_pb2.PullRequest(node=node_pb2.Node(node_id=node_id), run_id=run_id, objects=objects)


def decode_wanted(request: bulk_pb2.PullRequest) -> list[Wanted]:
    """Return what a Pull asks for."""
    return [Wanted(ObjectId(one.object_id), one.offset, one.suspected) for one in request.objects]


def encode_opening(node_id: NodeId, run_id: RunId, object_ids: Sequence[ObjectId]) -> bytes:
    """Return the first message of Push."""
    node = node_pb2.Node(node_id=node_id)
    return bulk_pb2.Piece(node=node, run_id=run_id, object_ids=object_ids).SerializeToString()


def encode_piece(index: int, size: int, offset: int, data: bytes | memoryview) -> bytes:
    """Return one piece of an object."""
    return b"".join((encode_piece_head(index, size, offset, len(data)), data))


def encode_piece_head(index: int, size: int, offset: int, data_bytes: int) -> bytes:
    """Return what comes before the data of a piece."""
    head = bulk_pb2.Piece(object=index, size=size, offset=offset).SerializeToString()
    return b"".join((head, bytes((_DATA_TAG,)), _varint(data_bytes)))


def encode_absence(index: int, absence: Absence) -> bytes:
    """Return what stands for an object that cannot be sent now."""
    said = bulk_pb2.Absence.ValueType(absence)
    return bulk_pb2.Piece(object=index, absence=said).SerializeToString()


def decode_piece(raw: bytes | bytearray | memoryview) -> Piece:
    """Read a piece; its data is a view of ``raw``.

    Raises:
        InvalidError: it is none, or larger than a piece may be.
    """
    if len(raw) > HATCH_PIECE_BYTES + _MOST_HEAD_BYTES:
        raise InvalidError(f"a piece of {len(raw)} bytes, {HATCH_PIECE_BYTES} are allowed")
    try:
        end, data = _split(memoryview(raw))
        head = bulk_pb2.Piece.FromString(bytes(raw[:end]))
        absence = Absence(head.absence)
    except (DecodeError, IndexError, ValueError) as cause:
        raise InvalidError("a piece of an object cannot be decoded") from cause
    return Piece(head.object, head.size, head.offset, data, absence)


def encode_taken(index: int, *, stored: bool) -> bytes:
    """Return the answer for one pushed object."""
    return bulk_pb2.Taken(object=index, stored=stored).SerializeToString()


def decode_taken(raw: bytes) -> tuple[int, bool]:
    """Return the object's place in the opening, and whether it was stored.

    Raises:
        InvalidError: it is no such answer.
    """
    try:
        taken = bulk_pb2.Taken.FromString(raw)
    except DecodeError as cause:
        raise InvalidError("the answer to a pushed object cannot be decoded") from cause
    return taken.object, taken.stored


def encode_hatch_request(node_id: NodeId, run_id: RunId) -> bytes:
    """Return the request of OpenHatch."""
    node = node_pb2.Node(node_id=node_id)
    return bulk_pb2.HatchRequest(node=node, run_id=run_id).SerializeToString()


def encode_invitation(invitation: Invitation) -> bytes:
    """Return the answer of OpenHatch."""
    hatch = bulk_pb2.Hatch(address=invitation.address, ticket=invitation.ticket)
    return hatch.SerializeToString()


def decode_invitation(raw: bytes) -> Invitation:
    """Read the answer of OpenHatch.

    Raises:
        InvalidError: it is none.
    """
    try:
        hatch = bulk_pb2.Hatch.FromString(raw)
    except DecodeError as cause:
        raise InvalidError("the answer to OpenHatch cannot be decoded") from cause
    return Invitation(hatch.address, hatch.ticket)


def decode_pull(raw: bytes) -> list[Wanted]:
    """Read a Pull as it was sent.

    Raises:
        InvalidError: it is none.
    """
    try:
        return decode_wanted(bulk_pb2.PullRequest.FromString(raw))
    except DecodeError as cause:
        raise InvalidError("a request for objects cannot be decoded") from cause


def decode_opening(raw: bytes) -> list[ObjectId]:
    """Return the objects that the first message of a Push names.

    Raises:
        InvalidError: it is none.
    """
    try:
        opening = bulk_pb2.Piece.FromString(raw)
    except DecodeError as cause:
        raise InvalidError("the opening of a push cannot be decoded") from cause
    return [ObjectId(text) for text in opening.object_ids]


def _split(raw: memoryview) -> tuple[int, memoryview]:
    """Return where the head ends, and the data."""
    at = 0
    while at < len(raw):
        if raw[at] == _DATA_TAG:
            length, start = _read_varint(raw, at + 1)
            if start + length != len(raw):
                raise ValueError("something follows the data")
            return at, raw[start:]
        if raw[at] & 0b111:
            raise ValueError("a head holds numbers only")
        _, at = _read_varint(raw, at + 1)
    return at, _EMPTY


def _read_varint(raw: memoryview, at: int) -> tuple[int, int]:
    """Return the number at ``at``, and where it ends."""
    value = shift = 0
    while True:
        byte = raw[at]
        at += 1
        value |= (byte & ~_LAST_OF_VARINT) << shift
        if byte < _LAST_OF_VARINT:
            return value, at
        shift += _LENGTH_BITS


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= _LAST_OF_VARINT:
        out.append(value & ~_LAST_OF_VARINT & 0xFF | _LAST_OF_VARINT)
        value >>= _LENGTH_BITS
    out.append(value)
    return bytes(out)
