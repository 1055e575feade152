"""Messages as values and as rows: what the store keeps beside an envelope."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row

from flwr.core.ids import MessageId, NodeId, RunId
from flwr.core.message import Delivery, Envelope, MessageError, ObjectTree
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
    collected_at: datetime | None = None  # the ServerApp was given the reply
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
    sent_at: datetime | None = None  # SuperNode: the SuperLink has it

    @property
    def message_id(self) -> MessageId:
        """The reply's own id."""
        return self.envelope.message_id

    @property
    def run_id(self) -> RunId:
        """The run it belongs to."""
        return self.envelope.run_id

    @property
    def delivery(self) -> Delivery:
        """The part that is handed over."""
        return Delivery(self.envelope, self.tree)


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


def decode_instruction(row: Row[Any]) -> Instruction:
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
        collected_at=row.collected_at,
        attempts=row.attempts,
    )


def decode_reply(row: Row[Any]) -> Reply:
    """Return the reply in a row."""
    return Reply(
        envelope=_decode_envelope(row),
        tree=unpack_tree(row.tree),
        arrived_at=row.arrived_at,
        sent_at=row.sent_at,
    )


def _decode_envelope(row: Row[Any]) -> Envelope:
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
