"""Which messages are accepted: the checks both directions share, and the log line of a refusal."""

import logging
from datetime import UTC, datetime

from flwr.core.errors import InvalidError
from flwr.core.ids import NodeId
from flwr.core.message import Delivery, check_reply, check_tree
from flwr.store.message_rows import Instruction
from flwr.store.store import Tx

logger = logging.getLogger(__name__)


def check_form(message: Delivery) -> None:
    """Refuse a message whose object tree is malformed or another message's.

    Raises:
        InvalidError: saying what is wrong.
    """
    check_tree(message.tree)
    if str(message.tree.object_id) != str(message.envelope.message_id):
        raise InvalidError("message refused: its object tree belongs to another message")


def find_answered(tx: Tx, reply: Delivery) -> Instruction | None:
    """Return the instruction of the same run that ``reply`` says it answers."""
    envelope = reply.envelope
    if envelope.reply_to is None:
        return None
    found = tx.messages.find_instruction(envelope.reply_to)
    return found if found is not None and found.run_id == envelope.run_id else None


def is_answerable(
    instruction: Instruction, node_id: NodeId, reply: Delivery, *, now: datetime
) -> bool:
    """Tell whether ``reply`` may answer an instruction; it is logged why not."""
    if instruction.expires_at <= now:
        note_refused(reply, "its instruction has expired")
        return False
    if instruction.envelope.dst_node_id != node_id:
        note_refused(reply, "its instruction went to another node")
        return False
    latest = instruction.expires_at.astimezone(UTC).timestamp()
    try:
        check_form(reply)
        check_reply(reply.envelope, instruction.envelope, expires_at=latest)
    except InvalidError as why:
        note_refused(reply, why.message)
        return False
    return True


def note_refused(message: Delivery, why: str) -> None:
    """Log that a message was refused; its sender only sees that it has no id."""
    envelope = message.envelope
    logger.warning(
        "Message refused",
        extra={
            "event": "message-refused",
            "run_id": envelope.run_id,
            "node_id": envelope.src_node_id,
            "message_id": envelope.message_id,
            "cause": why,
        },
    )
