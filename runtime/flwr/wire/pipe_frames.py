"""The frames of the pipe: their heads, and how they are put together from what has come.

What they mean is said in ``wire.pipe``.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from flwr.core.errors import InvalidError
from flwr.core.limits import MAX_RPC_BYTES

HEAD: Final = struct.Struct(">IBI")
_COUNTED: Final = 5  # bytes of the head that its length counts
_LONGEST: Final = MAX_RPC_BYTES + 65_536  # a request of the largest size with its method and json
_READ_LEAST: Final = 65_536
_READ_MOST: Final = 1_048_576


class FrameKind(IntEnum):
    """What a frame is."""

    REQUEST = 1
    REPLY = 2
    FAILURE = 3
    CANCEL = 4
    PIECE = 5
    END = 6
    WORD = 7


_KINDS: Final[Mapping[int, FrameKind]] = {kind.value: kind for kind in FrameKind}


@dataclass(frozen=True, slots=True)
class Frame:
    """One message on the pipe."""

    kind: FrameKind
    call_id: int
    payload: bytes | bytearray = b""


class FrameBuffer:
    """Puts frames together from what has come."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._size: int | None = None  # of the frame that begins it, once its head is here

    @property
    def wanted(self) -> int:
        """How many bytes to read next, at most."""
        missing = 0 if self._size is None else self._size - len(self._data)
        return min(max(missing, _READ_LEAST), _READ_MOST)

    def feed(self, data: bytes) -> None:
        """Add what was read."""
        self._data += data

    def take(self) -> Frame | None:
        """Return the next frame, None when it is not all here.

        Raises:
            InvalidError: what came is no frame.
        """
        if len(self._data) < HEAD.size:
            return None
        kind, call_id, payload_bytes = read_head(self._data[: HEAD.size])
        self._size = HEAD.size + payload_bytes
        if len(self._data) < self._size:
            return None
        payload = self._data[HEAD.size : self._size]
        del self._data[: self._size]
        self._size = None
        return Frame(kind, call_id, payload)


def encode_frame(frame: Frame) -> Sequence[bytes | bytearray]:
    """Return what to send, in one part where that is not large."""
    head = pack_head(frame.kind, frame.call_id, len(frame.payload))
    if len(frame.payload) <= _READ_LEAST:
        return (head + frame.payload,)
    return (head, frame.payload)


def pack_head(kind: FrameKind, call_id: int, payload_bytes: int) -> bytes:
    """Return what comes before a payload."""
    return HEAD.pack(_COUNTED + payload_bytes, kind, call_id)


def read_head(packed: bytes | bytearray) -> tuple[FrameKind, int, int]:
    """Return kind, call id, and the length of the payload.

    Raises:
        InvalidError: no frame begins like this.
    """
    length, kind, call_id = HEAD.unpack(packed)
    if not _COUNTED <= length <= _LONGEST:
        raise InvalidError(f"a frame of {length} bytes on the pipe")
    if kind not in _KINDS:
        raise InvalidError(f"a frame of kind {kind} on the pipe")
    return _KINDS[kind], call_id, length - _COUNTED
