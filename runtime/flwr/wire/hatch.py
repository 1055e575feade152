"""What is said at a daemon's hatch: a Unix socket for large objects of apps on its own machine.

An app gets an invitation by a call of its runner, and connects.  Frames are
``u32 length | u8 kind | payload``, the number big-endian, the length that of the payload:

- PULL, PUSH (app, first): the ticket, then the first message of the call of that name.
- PIECE (both ways): as in the call of that name.
- FILE (daemon): a piece without data, and one descriptor: the object is what that file holds from
  the piece's offset on.
- END (both ways): nothing follows.
- FAILURE (daemon): as on a pipe (``wire.pipe``).
- DEPOSIT (app, first, and any number of times): the ticket if it is the first frame, then the
  first message of a PUSH, with names of the app's own instead of ids.  The first frame brings a
  descriptor: an end of a pipe, by which PIECEs follow each DEPOSIT, and END.  Answered by a FILE
  for each, in the order of the names, whose payload begins with the 32 bytes of the id; then END.
- KEEP (app, after a DEPOSIT): the first message of a PUSH; what was deposited is as if it were
  pushed.  Answered as that: a PIECE for each, then END.
- DROP (app, after a DEPOSIT): the first message of a PUSH; nobody needs these any more.  No answer.

What was deposited and not kept is dropped when the connection ends.

A hatch is a short cut.  Whatever goes wrong there, what is missing goes through the runner.
"""

import struct
from enum import IntEnum
from typing import Final

from flwr.core.errors import InvalidError, UnavailableError
from flwr.core.limits import MAX_RPC_BYTES

HEAD: Final = struct.Struct(">IB")
ID_BYTES: Final = 32  # at the beginning of a FILE that answers for a deposit


class HatchFrame(IntEnum):
    """What a frame is."""

    PULL = 1
    PUSH = 2
    PIECE = 3
    FILE = 4
    END = 5
    FAILURE = 6
    DEPOSIT = 7
    KEEP = 8
    DROP = 9


class HatchClosedError(UnavailableError):
    """The other end has gone, or says nothing any more."""

    def __init__(self) -> None:
        """Say so."""
        super().__init__("the hatch was closed")


def encode_head(kind: HatchFrame, payload_bytes: int) -> bytes:
    """Return what comes before a payload."""
    return HEAD.pack(payload_bytes, kind)


def decode_head(packed: bytes | bytearray | memoryview) -> tuple[HatchFrame, int]:
    """Return the kind of a frame, and the length of its payload.

    Raises:
        InvalidError: it is none.
    """
    length, number = HEAD.unpack(packed)
    try:
        kind = HatchFrame(number)
    except ValueError as cause:
        raise InvalidError(f"a frame of kind {number} at the hatch") from cause
    if length > MAX_RPC_BYTES:
        raise InvalidError(f"a frame of {length} bytes at the hatch")
    return kind, length
