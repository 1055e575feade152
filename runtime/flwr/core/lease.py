"""The time-bounded right of one app process to act for a run."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from flwr.core.ids import MessageId, RunId
from flwr.core.limits import APP_HEARTBEAT, APP_PATIENCE, LEASE_AFTER_HEARTBEAT

_SHORTEST: Final = timedelta(seconds=1)  # patience with the most eager promise


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


def heard(lease: Lease, *, at: datetime, next_in: timedelta | None) -> Lease:
    """Return ``lease`` after a heartbeat.

    Args:
        lease: of the app process that was heard.
        at: the present instant.
        next_in: when it announced its next one for: who promises to be heard soon is missed soon.
            None (upstream's processes announce nothing): the lease is only ever prolonged.
    """
    if next_in is None:
        return renewed(lease, at=at, patience=LEASE_AFTER_HEARTBEAT)
    return replace(lease, until=at + max(_SHORTEST, next_in * (APP_PATIENCE / APP_HEARTBEAT)))


def renewed(lease: Lease, *, at: datetime, patience: timedelta) -> Lease:
    """Return ``lease`` prolonged to ``patience`` from now, never shortened."""
    return replace(lease, until=max(lease.until, at + patience))
