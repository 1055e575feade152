"""The work of a node that restarted: it waits for the node again, or is given up."""

from datetime import datetime

from flwr.core.ids import NodeId
from flwr.core.limits import MAX_LAUNCH_ATTEMPTS
from flwr.core.message import ErrorCode
from flwr.store.store import Tx
from flwr.superlink import topics
from flwr.superlink.answers import answer_failed
from flwr.superlink.message_events import record


def requeue(tx: Tx, node_id: NodeId, *, now: datetime, confirmed_too: bool) -> None:
    """Let the instructions a restarted node had in hand wait again.

    An instruction that was lost ``MAX_LAUNCH_ATTEMPTS`` times is answered with error 8 instead, and
    so is one with half a reply, which a node without memory (``confirmed_too``) never completes.
    """
    for instruction in tx.messages.half_answered(node_id) if confirmed_too else ():
        answer_failed(tx, instruction, ErrorCode.CLIENT_APP_CRASHED, now=now)
    for instruction in tx.messages.unanswered(node_id):
        if instruction.claimed_at is None:
            continue
        if instruction.confirmed_at is not None and not confirmed_too:
            continue
        envelope = instruction.envelope
        if instruction.attempts + 1 >= MAX_LAUNCH_ATTEMPTS:
            answer_failed(tx, instruction, ErrorCode.CLIENT_APP_CRASHED, now=now)
            continue
        tx.messages.release([envelope.message_id])
        tx.notify(topics.node(node_id))
        record(tx, "message.requeued", envelope.run_id, node_id, envelope.message_id, at=now)
