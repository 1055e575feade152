"""What the daemons know of a message: its envelope and the ids of its parts, never its content."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

from flwr.core.errors import InvalidError
from flwr.core.ids import SUPERLINK_NODE, MessageId, NodeId, ObjectId, RunId, is_object_id
from flwr.core.limits import (
    ENCLOSED_MESSAGE_BYTES,
    MAX_TREE_DEPTH,
    MAX_TREE_OBJECTS,
    OLDEST_CREATED_AT,
    TTL_TOLERANCE_S,
)


class ErrorCode(IntEnum):
    """Codes of error replies (wire contract §7.4)."""

    UNKNOWN = 0
    LOAD_CLIENT_APP_EXCEPTION = 1
    CLIENT_APP_RAISED_EXCEPTION = 2
    MESSAGE_UNAVAILABLE = 3
    REPLY_MESSAGE_UNAVAILABLE = 4
    NODE_UNAVAILABLE = 5
    MOD_FAILED_PRECONDITION = 6
    INVALID_FAB = 7
    CLIENT_APP_CRASHED = 8


SYSTEM_MESSAGE: Final = "system"  # type of replies the SuperLink makes for unknown ids


@dataclass(frozen=True, slots=True)
class MessageError:
    """Why a reply carries no content."""

    code: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class ObjectTree:
    """An object and the objects it refers to; siblings in the order the peer announced."""

    object_id: ObjectId
    children: tuple["ObjectTree", ...] = ()
    _walked: tuple[ObjectId, ...] = field(default=(), init=False, repr=False, compare=False)

    def walk(self) -> Iterator[ObjectId]:
        """Yield every id once, children before the objects that refer to them."""
        if not self._walked:  # a message's tree is walked ten times on its way
            ids: list[ObjectId] = []
            _note_postorder(self, ids)
            object.__setattr__(self, "_walked", tuple(dict.fromkeys(ids)))
        return iter(self._walked)


def _note_postorder(tree: ObjectTree, ids: list[ObjectId]) -> None:
    for child in tree.children:
        _note_postorder(child, ids)
    ids.append(tree.object_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """Metadata of one message; its times are hashed into its id, so never rounded."""

    message_id: MessageId
    run_id: RunId
    src_node_id: NodeId
    dst_node_id: NodeId
    reply_to: MessageId | None = None  # None: an instruction
    group_id: str = ""
    message_type: str
    created_at: float  # Unix seconds, by the sender's clock
    ttl: float  # seconds
    error: MessageError | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message as it is handed over: who, what, and which objects make it up."""

    envelope: Envelope
    tree: ObjectTree
    contents: Mapping[ObjectId, bytes] = field(default_factory=dict, repr=False, compare=False)
    """The objects that came along, by their true id; the others follow one by one."""

    @property
    def size_bytes(self) -> int:
        """Bytes of the objects that came along."""
        return sum(map(len, self.contents.values()))

    @property
    def is_whole(self) -> bool:
        """True when every object came along."""
        return all(map(self.contents.__contains__, self.tree.walk()))

    @property
    def may_go_whole(self) -> bool:
        """True when it can travel whole between our own parts."""
        return self.size_bytes <= ENCLOSED_MESSAGE_BYTES and self.is_whole


def check_tree(tree: ObjectTree) -> None:
    """Refuse a tree that is too large, too deep, or names something that is no object id.

    Raises:
        InvalidError: naming the limit.
    """
    pending, seen = [(tree, 1)], 0
    while pending:
        node, depth = pending.pop()
        seen += 1
        if not is_object_id(node.object_id):
            raise InvalidError(f"{node.object_id[:80]!r} is not an object id (64 hex digits)")
        if depth > MAX_TREE_DEPTH:
            raise InvalidError(f"object tree is deeper than {MAX_TREE_DEPTH}")
        if seen > MAX_TREE_OBJECTS:
            raise InvalidError(f"object tree names more than {MAX_TREE_OBJECTS} objects")
        pending.extend((child, depth + 1) for child in node.children)


def remaining_ttl(*, created_at: float, ttl: float, now: float) -> float:
    """Return the longest ttl in seconds of a reply made at ``now`` (wire contract §7.2).

    Args:
        created_at: of the instruction, Unix seconds.
        ttl: of the instruction, seconds.
        now: Unix seconds; past the instruction's end the answer is negative.
    """
    return created_at + ttl - now


def check_instruction(message: Envelope, *, run_id: RunId) -> None:
    """Check the form of an instruction (wire contract §9.1).

    Raises:
        InvalidError: naming the field.
    """
    _check_common(message, run_id)
    _require(message.src_node_id == SUPERLINK_NODE, "src_node_id must be the SuperLink's, 1")
    _require(message.dst_node_id not in {0, SUPERLINK_NODE}, "dst_node_id must name a SuperNode")
    _require(message.reply_to is None, "an instruction replies to nothing")


def check_reply(message: Envelope, instruction: Envelope, *, expires_at: float) -> None:
    """Check that ``message`` answers ``instruction`` (wire contract §9.3).

    Args:
        message: the reply.
        instruction: what it answers.
        expires_at: Unix seconds by our own clock when the instruction expires.

    Raises:
        InvalidError: naming the field.
    """
    _check_common(message, instruction.run_id)
    _require(message.src_node_id == instruction.dst_node_id, "src_node_id is not the asked node")
    _require(message.dst_node_id == SUPERLINK_NODE, "dst_node_id must be the SuperLink's, 1")
    _require(message.reply_to == instruction.message_id, "reply_to names another instruction")
    latest = instruction.created_at + instruction.ttl
    _require(
        message.created_at + message.ttl <= max(latest, expires_at) + TTL_TOLERANCE_S,
        "ttl outlives the instruction",
    )


def _check_common(message: Envelope, run_id: RunId) -> None:
    _require(is_object_id(message.message_id), "message_id is not an object id")
    _require(message.run_id == run_id, "run_id differs from the request's")
    _require(message.created_at >= OLDEST_CREATED_AT, "created_at lies before 28 Feb 2025")
    _require(message.ttl > 0, "ttl must be positive")
    _require(bool(message.message_type), "message_type is empty")


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise InvalidError(f"message refused: {otherwise}")
