"""Identifiers.  Each noun has its own type, so that a run id never passes for a node id."""

import re
import secrets
from typing import Final, NewType

RunId = NewType("RunId", int)  # random, 64 bits, unsigned
NodeId = NewType("NodeId", int)  # random, 64 bits, unsigned; 0 is invalid, 1 is the SuperLink
MessageId = NewType("MessageId", str)  # the ObjectId of the message
ObjectId = NewType("ObjectId", str)  # SHA-256 of the object's bytes, 64 lower-case hex digits
FabHash = NewType("FabHash", str)  # SHA-256 of the bundle, 64 lower-case hex digits
AccountId = NewType("AccountId", str)

SUPERLINK_NODE: Final = NodeId(1)
"""The SuperLink's own node id: source of every instruction, destination of every reply."""

_HEX_64: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)
_RESERVED_NODES: Final = frozenset({0, 1})


def new_run_id() -> RunId:
    """Return a random run id; never 0, which the wire reads as absent."""
    return RunId(secrets.randbits(64) or 1)


def new_node_id() -> NodeId:
    """Return a random node id that is not reserved."""
    candidate = secrets.randbits(64)
    return NodeId(candidate) if candidate not in _RESERVED_NODES else new_node_id()


def is_object_id(text: str) -> bool:
    """Tell whether ``text`` has the form of an object id."""
    return _HEX_64.fullmatch(text) is not None
