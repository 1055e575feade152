"""The time-bounded right of one app process to act for a run."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from flwr.core.ids import MessageId, RunId


class AppKind(StrEnum):
    """Which of the two programs of an app the process runs."""

    SERVERAPP = "serverapp"
    CLIENTAPP = "clientapp"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """A granted launch.  The token itself is never stored, only its SHA-256."""

    token_hash: str  # hex SHA-256 of the token's ASCII form
    kind: AppKind
    run_id: RunId
    message_id: MessageId | None  # the instruction a ClientApp was launched for
    granted_at: datetime
    until: datetime  # lapses then unless renewed
    inputs_pulled: bool = False  # PullAppInputs works once


def renewed(lease: Lease, *, at: datetime, patience: timedelta) -> Lease:
    """Return ``lease`` prolonged by one heartbeat."""
    return replace(lease, until=max(lease.until, at + patience))


def has_lapsed(lease: Lease, *, at: datetime) -> bool:
    """Tell whether no heartbeat came in time."""
    return lease.until <= at
