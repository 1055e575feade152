"""Who may begin next: apps get their share of a machine in the order in which they asked.

One that needs much is not passed by others that need less: else it might wait for ever.
"""

import asyncio
import logging
from bisect import insort
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, Protocol

from flwr.core.capacity import AppNeeds
from flwr.core.clock import Clock
from flwr.runner.in_executor import Permit
from flwr.shell.gpus import VISIBLE
from flwr.shell.resource_settings import Room
from flwr.superexec.ledger import Ledger, Share

log = logging.getLogger(__name__)

_TURN: Final = "those who asked before"


class Admission(Protocol):
    """Lets apps of one executor begin."""

    @property
    def shortage(self) -> str:
        """What there is too little of for one more app; empty: nothing that we know of."""
        ...

    def admitted(self) -> AbstractAsyncContextManager[Permit]:
        """Return a block that begins when an app may, and ends with it.

        Raises:
            FailedPreconditionError: there will never be so much.
        """
        ...


@dataclass(eq=False, slots=True)
class Ticket:
    """One place in the queue, then one share."""

    needs: AppNeeds
    since: float
    share: "asyncio.Future[Share]" = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class Queue:
    """Those who wait for a share of one ledger, and those who have one."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self._waiting: list[Ticket] = []  # the oldest first
        self._is_open = True

    def join(self, needs: AppNeeds, since: float) -> Ticket:
        """Ask for a share; leave the queue in any case."""
        ticket = Ticket(needs, since)
        insort(self._waiting, ticket, key=lambda one: one.since)
        self._advance()
        return ticket

    def rejoin(self, share: Share) -> Ticket:
        """Count a share that another queue gave."""
        ticket = Ticket(share.needs, 0.0)
        ticket.share.set_result(share)
        self.ledger.hold(share)
        return ticket

    def leave(self, ticket: Ticket) -> None:
        """Give the share back, or ask for none any more."""
        if ticket in self._waiting:
            self._waiting.remove(ticket)
            ticket.share.cancel()
        else:
            self.ledger.give_back(ticket.share.result())
        self._advance()

    def pause(self) -> None:
        """Let nobody in until ``resume``."""
        self._is_open = False

    def resume(self) -> None:
        """Let in whom there is room for."""
        self._is_open = True
        self._advance()

    def _advance(self) -> None:
        while self._is_open and self._waiting:
            share = self.ledger.take(self._waiting[0].needs)
            if share is None:
                return
            self._waiting.pop(0).share.set_result(share)


class OwnAdmission:
    """Counts the apps of this executor alone."""

    def __init__(self, room: Room, clock: Clock) -> None:
        self._room, self._clock = room, clock
        self._queue = Queue(Ledger(room.machine, room.gpus))

    @property
    def shortage(self) -> str:
        """What there is too little of for one more app."""
        return self._queue.ledger.shortage(self._room.needs)

    @asynccontextmanager
    async def admitted(self) -> AsyncIterator[Permit]:
        """Return a block that begins when an app may, and ends with it."""
        ticket = self._queue.join(self._room.needs, self._clock.monotonic())
        has_waited = not ticket.share.done()
        try:
            if has_waited:
                log_wait(self.shortage)
            yield permit(self._room, await asyncio.shield(ticket.share), has_waited=has_waited)
        finally:
            self._queue.leave(ticket)


def permit(room: Room, share: Share, *, has_waited: bool) -> Permit:
    """Return what an app with this share is told."""
    sees = {VISIBLE: ",".join(share.gpus)} if room.assigns_gpus else {}
    return Permit(sees, has_waited)


def log_wait(shortage: str) -> None:
    """Tell the operator what an app waits for."""
    log.info(
        "An app waits", extra={"event": "waiting", "cause": f"waiting for {shortage or _TURN}"}
    )
