"""What a power cut took of a node's large messages, and how the node goes on without it.

Large content is durable only when it was promised to somebody (ADR-0023).  The store knows after a
start what of it is lost; its instruction is then fetched and executed again.
"""

import logging
from datetime import datetime

from flwr.core.ids import NodeId
from flwr.store.message_rows import Instruction
from flwr.store.store import Tx
from flwr.supernode.replies import ACTOR

logger = logging.getLogger(__name__)


def begin_again(tx: Tx, node_id: NodeId, *, now: datetime) -> int:
    """Let instructions be taken in anew that lost content, or whose reply did; return how many.

    What an app still works on is left to the end of its lease.
    """
    leased = {lease.message_id for lease in tx.leases.list()}
    lost = [
        *(one for one in tx.messages.half_answered(node_id) if one.message_id not in leased),
        *(one for one in tx.messages.unanswered(node_id) if _lacks_content(tx, one)),
    ]
    for one in lost:
        tx.messages.delete([one.message_id])
        tx.messages.add_instruction(
            one.envelope, one.tree, now=now, expires_at=one.expires_at, ready=False
        )
        tx.objects.preregister(one.run_id, one.message_id, one.tree)
        tx.events.append(
            at=now,
            kind="instruction-begun-again",
            actor=ACTOR,
            run_id=one.run_id,
            node_id=node_id,
            message_id=one.message_id,
            details={"cause": "content was lost with the power"},
        )
        facts = {"run_id": one.run_id, "message_id": one.message_id}
        logger.warning(
            "Content was lost with the power: fetching it again",
            extra={"event": "content-lost", **facts},
        )
    return len(lost)


def _lacks_content(tx: Tx, one: Instruction) -> bool:
    return one.ready and bool(tx.objects.missing(one.message_id))
