"""What the event log tells of messages."""

from datetime import datetime

from flwr.core.ids import MessageId, NodeId, RunId
from flwr.store.store import Tx


def record(
    tx: Tx, kind: str, run_id: RunId, node_id: NodeId, message_id: MessageId, *, at: datetime
) -> None:
    """Append the event of one instruction; ``node_id`` is its node.

    What the ServerApp does is told as its deed, everything else as the node's.
    """
    by_app = kind in {"message.enqueued", "message.collected"}
    actor = "serverapp" if by_app else f"node:{node_id}"
    tx.events.append(
        at=at, kind=kind, actor=actor, run_id=run_id, node_id=node_id, message_id=message_id
    )
