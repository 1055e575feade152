"""Signs of life, gathered: those of many nodes cost one durable commit.

A heartbeat is answered once it is durable: the first after a quiet moment is written at once, those
that follow soon are written together.  Nobody waits for the sign of life that a pull is, so these
are gathered longer, yet briefly beside the patience with a silent node.  What is gathered is
bounded by the number of nodes, each of which has one latest sign of life.
"""

import asyncio
import logging
import math
from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from flwr.core.clock import Clock
from flwr.core.ids import NodeId
from flwr.shell.in_thread import in_thread
from flwr.superlink.nodes import Beat, Nodes

logger = logging.getLogger(__name__)

ANSWERED_AFTER: Final = timedelta(milliseconds=250)  # since the last commit; nodes wait for 5 s
WRITTEN_AFTER: Final = timedelta(
    seconds=2
)  # of what nobody waits for; the patience is 20 s or more


class Presence:
    """Takes signs of life in the event loop and hands them to ``Nodes`` in batches."""

    def __init__(self, nodes: Nodes, clock: Clock) -> None:
        self._nodes, self._clock = nodes, clock
        self._gathered: dict[NodeId, Beat] = {}
        self._being_written: Mapping[NodeId, Beat] = {}
        self._waiting: dict[NodeId, asyncio.Future[bool]] = {}
        self._writer: asyncio.Task[None] | None = None
        self._due: asyncio.TimerHandle | None = None
        self._wrote_at = -math.inf

    def note(self, node_id: NodeId, interval_s: float) -> None:
        """Take a sign of life that nobody waits to see written.

        Raises:
            InvalidError: the interval is out of range.
        """
        self._gathered[node_id] = Beat(node_id, self._clock.now(), interval_s)
        self._schedule()

    async def heard(self, node_id: NodeId, interval_s: float) -> bool:
        """Renew a node's presence; False when it may not be present.

        Raises:
            InvalidError: the interval is out of range.
            StoreUnavailableError: it could not be written.
        """
        self.note(node_id, interval_s)
        waiting = self._waiting.get(node_id)
        if waiting is None:
            waiting = self._waiting[node_id] = asyncio.get_running_loop().create_future()
            self._schedule()
        return await asyncio.shield(waiting)

    def left(self, node_id: NodeId) -> None:
        """Forget what was gathered of a node that says goodbye: it would bring it back."""
        for beats in (self._gathered, self._being_written):
            if (beat := beats.get(node_id)) is not None:
                beat.is_void = True

    def _schedule(self) -> None:
        """See to it that what is gathered is written in time."""
        if self._writer is not None or not self._gathered:
            return  # the writer looks again when it is done
        loop = asyncio.get_running_loop()
        when = loop.time() + WRITTEN_AFTER.total_seconds()
        if self._waiting:
            when = max(loop.time(), self._wrote_at + ANSWERED_AFTER.total_seconds())
        if self._due is not None:
            if self._due.when() <= when:
                return
            self._due.cancel()
        self._due = loop.call_at(when, self._begin)

    def _begin(self) -> None:
        self._due = None
        self._writer = asyncio.create_task(self._write(), name="presence")

    async def _write(self) -> None:
        self._being_written, self._gathered = self._gathered, {}
        waiting, self._waiting = self._waiting, {}
        try:
            await self._write_batch(self._being_written, waiting)
        finally:
            self._being_written, self._writer = {}, None
            self._wrote_at = asyncio.get_running_loop().time()
        self._schedule()

    async def _write_batch(
        self, beats: Mapping[NodeId, Beat], waiting: Mapping[NodeId, asyncio.Future[bool]]
    ) -> None:
        try:
            known = await in_thread(self._nodes.renew, list(beats.values()))
        except Exception as error:  # noqa: BLE001 - whoever waits gets it
            logger.warning(
                "Cannot note that nodes were heard",
                extra={"event": "presence-failed", "nodes": len(beats), "cause": str(error)},
            )
            for answer in waiting.values():
                answer.set_exception(error)
                answer.exception()  # seen: its caller may be gone
        else:
            for node_id, answer in waiting.items():
                answer.set_result(node_id in known)
