"""Answers the SuperLink gives itself: error replies for what no node will answer any more."""

from datetime import datetime
from typing import Final

from flwr.core.ids import SUPERLINK_NODE, MessageId, ObjectId, RunId
from flwr.core.message import Delivery, Envelope, ErrorCode, ObjectTree
from flwr.store.message_rows import Instruction
from flwr.store.store import Tx
from flwr.superlink import topics
from flwr.wire.object_format import error_reply, unknown_reply

_REASONS: Final = {
    ErrorCode.MESSAGE_UNAVAILABLE: "The instruction is unknown or has expired.",
    ErrorCode.REPLY_MESSAGE_UNAVAILABLE: "The reply has expired.",
    ErrorCode.NODE_UNAVAILABLE: "The node is offline or unregistered.",
    ErrorCode.CLIENT_APP_CRASHED: "The node was lost every time it worked on this instruction.",
}


def answer_unknown(tx: Tx, run_id: RunId, asked: MessageId, *, now: datetime) -> Delivery:
    """Return a stored error 3 for an instruction that does not exist any more."""
    reason = _REASONS[ErrorCode.MESSAGE_UNAVAILABLE]
    return _keep(tx, run_id, *unknown_reply(asked, reason, now=now))


def answer_failed(tx: Tx, instruction: Instruction, code: ErrorCode, *, now: datetime) -> Delivery:
    """Return a stored error reply that takes the place of the node's reply.

    What the node sent too late, or never completed, is dropped with the instruction.
    """
    asked = instruction.envelope
    reply = error_reply(asked, code, _REASONS[code], now=now, src=SUPERLINK_NODE)
    answer = _keep(tx, asked.run_id, *reply)
    if not tx.messages.add_reply(answer.envelope, answer.tree, now=now):
        tx.messages.delete([asked.message_id])
    tx.objects.release(asked.message_id)
    tx.events.append(
        at=now,
        kind="message.failed",
        actor="superlink",
        run_id=asked.run_id,
        node_id=asked.dst_node_id,
        message_id=asked.message_id,
        details={"code": int(code)},
    )
    tx.notify(topics.run(asked.run_id))
    return answer


def _keep(tx: Tx, run_id: RunId, envelope: Envelope, content: bytes) -> Delivery:
    """Put the reply's one object where the ServerApp will pull it."""
    tree = ObjectTree(ObjectId(envelope.message_id))
    contents = {tree.object_id: content}
    tx.objects.preregister(run_id, envelope.message_id, tree, contents)
    return Delivery(envelope, tree, contents)
