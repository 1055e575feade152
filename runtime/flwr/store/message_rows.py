"""Messages as values and as rows: what the store keeps beside an envelope."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flwr.core.ids import MessageId, NodeId, RunId
from flwr.core.message import Delivery, Envelope, MessageError, ObjectTree
from flwr.core.node import NodeStatus
from flwr.store.prepared import Row
from flwr.store.trees import pack_tree, unpack_tree


@dataclass(frozen=True, slots=True, kw_only=True)
class Instruction:
    """A message to a node, and how far it got."""

    envelope: Envelope
    tree: ObjectTree
    added_at: datetime
    expires_at: datetime  # by our own clock
    ready: bool  # False: its content is still on the way
    claimed_at: datetime | None = None  # handed to somebody
    confirmed_at: datetime | None = None  # that somebody has all of it
    replied_at: datetime | None = None
    attempts: int = 0  # claims that were released again

    @property
    def message_id(self) -> MessageId:
        """The instruction's id."""
        return self.envelope.message_id

    @property
    def run_id(self) -> RunId:
        """The run it belongs to."""
        return self.envelope.run_id

    @property
    def dst(self) -> NodeId:
        """The node it is for."""
        return self.envelope.dst_node_id

    @property
    def delivery(self) -> Delivery:
        """The part that is handed over."""
        return Delivery(self.envelope, self.tree)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A node's answer to one instruction."""

    envelope: Envelope
    tree: ObjectTree
    arrived_at: datetime

    @property
    def message_id(self) -> MessageId:
        """The reply's own id."""
        return self.envelope.message_id

    @property
    def run_id(self) -> RunId:
        """The run it belongs to."""
        return self.envelope.run_id

    @property
    def src(self) -> NodeId:
        """The node that answers."""
        return self.envelope.src_node_id

    @property
    def answers(self) -> MessageId:
        """The instruction it answers."""
        if self.envelope.reply_to is None:
            raise LookupError(f"reply {self.message_id} answers nothing")  # no row is like that
        return self.envelope.reply_to

    @property
    def delivery(self) -> Delivery:
        """The part that is handed over."""
        return Delivery(self.envelope, self.tree)


@dataclass(frozen=True, slots=True, kw_only=True)
class Queued:
    """An unanswered instruction, as far as handing it out needs to know it."""

    message_id: MessageId
    claimed_at: datetime | None
    confirmed_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What decides how the ServerApp's question for an answer is met."""

    message_id: MessageId  # the instruction's
    run_id: RunId
    dst: NodeId
    node_status: NodeStatus | None  # None: there is no such node
    expires_at: datetime
    reply_id: MessageId | None
    is_error: bool  # the reply has no content
    reply_bytes: int | None  # None: none, or not all of it is here

    @property
    def is_answered(self) -> bool:
        """True when the whole reply is here."""
        return self.reply_bytes is not None


def encode_message(envelope: Envelope, tree: ObjectTree) -> dict[str, Any]:
    """Return the columns instructions and replies have in common."""
    error = envelope.error
    return {
        "message_id": envelope.message_id,
        "run_id": envelope.run_id,
        "src_node_id": envelope.src_node_id,
        "dst_node_id": envelope.dst_node_id,
        "reply_to": envelope.reply_to,
        "group_id": envelope.group_id,
        "message_type": envelope.message_type,
        "created_at": envelope.created_at,
        "ttl": envelope.ttl,
        "error": None if error is None else {"code": error.code, "reason": error.reason},
        "tree": pack_tree(tree),
    }


def encode_instruction(
    envelope: Envelope,
    tree: ObjectTree,
    *,
    now: datetime,
    expires_at: datetime,
    ready: bool = True,
    claimed: bool = False,
) -> dict[str, Any]:
    """Return the columns of an instruction that waits, or was taken the moment it came."""
    return {
        **encode_message(envelope, tree),
        "added_at": now,
        "expires_at": expires_at,
        "ready": ready,
        "claimed_at": now if claimed else None,
        "attempts": 0,
    }


def decode_instruction(row: Row) -> Instruction:
    """Return the instruction in a row."""
    return Instruction(
        envelope=_decode_envelope(row),
        tree=unpack_tree(row.tree),
        added_at=row.added_at,
        expires_at=row.expires_at,
        ready=row.ready,
        claimed_at=row.claimed_at,
        confirmed_at=row.confirmed_at,
        replied_at=row.replied_at,
        attempts=row.attempts,
    )


def decode_asked(row: Row) -> Asked:
    """Return what a row says of an instruction and its reply."""
    is_whole = row.reply_id is not None and not row.awaited
    return Asked(
        message_id=MessageId(row.message_id),
        run_id=RunId(row.run_id),
        dst=NodeId(row.dst_node_id),
        node_status=None if row.status is None else NodeStatus(row.status),
        expires_at=row.expires_at,
        reply_id=None if row.reply_id is None else MessageId(row.reply_id),
        is_error=row.is_error,
        reply_bytes=int(row.reply_bytes or 0) if is_whole else None,
    )


def decode_reply(row: Row) -> Reply:
    """Return the reply in a row."""
    return Reply(
        envelope=_decode_envelope(row),
        tree=unpack_tree(row.tree),
        arrived_at=row.arrived_at,
    )


def _decode_envelope(row: Row) -> Envelope:
    return Envelope(
        message_id=MessageId(row.message_id),
        run_id=RunId(row.run_id),
        src_node_id=NodeId(row.src_node_id),
        dst_node_id=NodeId(row.dst_node_id),
        reply_to=None if row.reply_to is None else MessageId(row.reply_to),
        group_id=row.group_id,
        message_type=row.message_type,
        created_at=row.created_at,
        ttl=row.ttl,
        error=None if row.error is None else MessageError(**row.error),
    )
