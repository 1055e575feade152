"""How long a caller waits for an answer: enough for the slowest line we serve, never for ever."""

from datetime import timedelta
from typing import Final

from flwr.core.limits import ARRAY_CHUNK_BYTES, LONG_POLL, MAX_FAB_BYTES, RPC_DEADLINE

SLOWEST_BYTES_PER_S: Final = 4096  # half of a 64 kbit/s line, which one call may share


def deadline_s(carried_bytes: int = 0) -> float:
    """Return seconds for a call that carries so many bytes in either direction."""
    return RPC_DEADLINE.total_seconds() + carried_bytes / SLOWEST_BYTES_PER_S


HELD_S: Final = (LONG_POLL + RPC_DEADLINE).total_seconds()  # a poll that the server may hold
OBJECT_S: Final = (
    deadline_s(ARRAY_CHUNK_BYTES) + LONG_POLL.total_seconds()
)  # held until it is there
FAB_S: Final = deadline_s(MAX_FAB_BYTES)


def seconds(duration: timedelta) -> float:
    """Return the form in which gRPC takes a time-out."""
    return duration.total_seconds()
