"""Tickets: what lets somebody in at a socket of this machine, once.

Who asked for one by a proven call connects and shows it.  The names of such sockets are no secret.
"""

import secrets
from collections import OrderedDict
from typing import Final, Generic, TypeVar

T = TypeVar("T")

TICKET_BYTES: Final = 16


class Tickets(Generic[T]):
    """Those given out and not used yet.

    Args:
        most: the oldest of more is void.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._given: OrderedDict[bytes, T] = OrderedDict()

    def write(self, what: T) -> bytes:
        """Return a ticket for something."""
        ticket = secrets.token_bytes(TICKET_BYTES)
        self._given[ticket] = what
        if len(self._given) > self._most:
            self._given.popitem(last=False)
        return ticket

    def redeem(self, ticket: bytes) -> T | None:
        """Return what a ticket is for; None: there is no such ticket, or not any more."""
        return self._given.pop(ticket, None)


def socket_name(what: str) -> bytes:
    """Return a fresh name for a socket that no file system knows (Linux)."""
    return f"\0flwr-{what}-{secrets.token_hex(16)}".encode()
