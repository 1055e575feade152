"""How instructions get into the queues of their nodes."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from flwr.core.ids import MessageId, ObjectId, RunId
from flwr.core.message import Delivery
from flwr.core.node import REACHABLE
from flwr.store.store import Tx
from flwr.superlink import topics
from flwr.superlink.acceptance import note_refused
from flwr.superlink.message_events import record

_SOON: Final = timedelta(minutes=5)  # the reaper looks at least this often
_LONGEST_TTL: Final = timedelta(days=3650)


def reachable(tx: Tx, messages: Sequence[Delivery]) -> dict[MessageId, Delivery]:
    """Return the messages whose nodes can be addressed; the others are noted as refused."""
    found = tx.nodes.statuses(list({message.envelope.dst_node_id for message in messages}))
    accepted = {}
    for message in messages:
        if found.get(message.envelope.dst_node_id) in REACHABLE:
            accepted[message.envelope.message_id] = message
        else:
            note_refused(message, "the node is not connected")
    return accepted


def queue(
    tx: Tx,
    run_id: RunId,
    new: dict[MessageId, Delivery],
    *,
    granted: Sequence[Delivery],
    now: datetime,
) -> dict[MessageId, list[ObjectId]]:
    """Queue new instructions, ``granted`` ones as taken already; return what each still lacks."""
    # Judged from its arrival on: the sender's clock may be wrong (wire.md §19 no. 26).
    ttls = (timedelta(seconds=min(message.envelope.ttl, 1e9)) for message in new.values())
    ends = [now + min(ttl, _LONGEST_TTL) for ttl in ttls]
    taken = {one.envelope.message_id for one in granted}
    missing = tx.objects.preregister_all(run_id, [(i, m.tree, m.contents) for i, m in new.items()])
    rows = zip(new.values(), ends, (i in taken for i in new), strict=True)
    tx.messages.add_instructions(rows, now=now)
    for message_id, message in new.items():
        node_id = message.envelope.dst_node_id
        record(tx, "message.enqueued", run_id, node_id, message_id, at=now)
        if message_id in taken:
            record(tx, "message.claimed", run_id, node_id, message_id, at=now)
        else:
            tx.notify(topics.node(node_id))
    if any(end - now < _SOON for end in ends):
        tx.notify(topics.REAPER)
    return missing
