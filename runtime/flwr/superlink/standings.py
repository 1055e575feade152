"""Where the instructions stand that a ServerApp asks about: open, answered, or never to be."""

from datetime import datetime
from enum import Enum, auto

from flwr.core.ids import RunId
from flwr.core.node import NodeStatus
from flwr.store.message_rows import Asked
from flwr.superlink.absences import Absences


class Standing(Enum):
    """What a ServerApp is told of an instruction it asks about."""

    WAITING = auto()
    ANSWERED = auto()
    UNKNOWN = auto()  # never seen, expired, or collected before
    TOO_LATE = auto()  # a reply exists but expired
    NODE_GONE = auto()


def standing_of(
    asked: Asked | None, run_id: RunId, *, now: datetime, absences: Absences
) -> Standing:
    """Return where an instruction stands for the run that asks.

    Args:
        asked: what is known of it; None: nothing.
        run_id: who asks.
        now: by our own clock.
        absences: which nodes will probably be back.
    """
    if asked is None or asked.run_id != run_id:
        return Standing.UNKNOWN
    expired = asked.expires_at <= now
    if asked.is_answered:
        return Standing.TOO_LATE if expired and not asked.is_error else Standing.ANSWERED
    if expired:
        return Standing.UNKNOWN if asked.reply_id is None else Standing.TOO_LATE
    may_answer = asked.node_status is NodeStatus.ONLINE or (
        asked.node_status not in {None, NodeStatus.UNREGISTERED}
        and absences.is_excused(asked.dst, at=now)
    )
    return Standing.WAITING if may_answer else Standing.NODE_GONE
