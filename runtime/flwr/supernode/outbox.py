"""Replies out: each durable reply is sent until the SuperLink has all of it, then forgotten.

A node that dies at any point sends again what it has not forgotten; the SuperLink counts it once.
"""

import asyncio
import logging
from collections import deque
from datetime import timedelta
from typing import Final

from flwr.core.clock import Clock
from flwr.core.errors import FlwrError, UnavailableError
from flwr.core.ids import MessageId, ObjectId
from flwr.core.limits import TRANSFERS_IN_PARALLEL
from flwr.core.message import ErrorCode
from flwr.shell.in_thread import in_thread
from flwr.shell.wakeups import Wakeups
from flwr.store.message_rows import Reply
from flwr.store.store import Store
from flwr.supernode.apps import Stopwatches
from flwr.supernode.fleet import FATAL, FleetSession
from flwr.supernode.parallel import all_of
from flwr.supernode.replies import ACTOR, answer_with_error
from flwr.supernode.runs import RUN_OVER, RunBook

logger = logging.getLogger(__name__)

SENDS_AT_ONCE: Final = 4
_STORAGE_PAUSE: Final = timedelta(seconds=5)  # until a full disk is looked at again
_LOOK_AGAIN: Final = timedelta(minutes=1)  # a ring tells; this is the safety net


class Outbox:
    """Sends what apps, or the node in their place, have replied."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        session: FleetSession,
        runs: RunBook,
        stopwatches: Stopwatches,
        wakeups: Wakeups,
    ) -> None:
        self._store, self._clock, self._session = store, clock, session
        self._runs, self._stopwatches, self._wakeups = runs, stopwatches, wakeups
        self._sending: set[MessageId] = set()
        self._slots = asyncio.Semaphore(SENDS_AT_ONCE)
        self._finished_one = asyncio.Event()

    async def run(self) -> None:
        """Send replies until cancelled, those of an earlier process first."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                due = await self._wakeups.until({"outbox"}, self._due, timeout=_LOOK_AGAIN)
                for reply in due or ():
                    await self._slots.acquire()
                    self._sending.add(reply.envelope.message_id)
                    tasks.create_task(
                        self._send(reply), name=f"reply-{reply.envelope.message_id[:8]}"
                    )

    async def drain(self, patience: timedelta) -> bool:
        """Wait until everything is sent; False when ``patience`` ran out first."""
        try:
            async with asyncio.timeout(patience.total_seconds()):
                while True:
                    self._finished_one.clear()
                    if not await in_thread(self._read_due):
                        break
                    await self._finished_one.wait()
        except TimeoutError:
            return False
        return True

    async def _due(self) -> list[Reply] | None:
        due = await in_thread(self._read_due)
        return [r for r in due if r.envelope.message_id not in self._sending] or None

    def _read_due(self) -> list[Reply]:
        with self._store.reading() as tx:
            return tx.messages.replies_to_send(self._clock.now())

    async def _send(self, reply: Reply) -> None:
        try:
            await self._deliver_or_give_up(reply)
        except FATAL:
            raise
        except UnavailableError as error:  # our own storage: the SuperLink is waited for below
            logger.error(  # noqa: TRY400 - expected; a traceback says nothing more
                "Cannot send a reply now",
                extra={"event": "storage", "cause": error.message, **_facts(reply)},
            )
            await asyncio.sleep(_STORAGE_PAUSE.total_seconds())
        except Exception:
            # A bug of ours, met by one reply, must not stop the others; it is tried again.
            logger.exception("Sending a reply failed", extra={"event": "bug", **_facts(reply)})
            await asyncio.sleep(_STORAGE_PAUSE.total_seconds())
        finally:
            self._sending.discard(reply.envelope.message_id)
            self._finished_one.set()
            self._slots.release()

    async def _deliver_or_give_up(self, reply: Reply) -> None:
        try:
            await self._deliver(reply)
        except (*FATAL, UnavailableError):
            raise
        except FlwrError as error:
            await self._give_up(reply, error)

    async def _deliver(self, reply: Reply) -> None:
        envelope = reply.envelope
        fleet, attempt = self._session.fleet, self._session.attempt
        runtime_s = self._stopwatches.seconds(_answered(reply))
        wanted = await attempt(fleet.push_reply, envelope, reply.tree, runtime_s)
        pending = deque(wanted)

        async def push_some() -> None:
            while pending:
                object_id = pending.popleft()
                content = await in_thread(self._read, object_id)
                if content is None:
                    continue  # asked for by a server that lost track; not ours
                await attempt(fleet.push_object, envelope.run_id, object_id, content)

        await all_of(push_some, min(len(pending), TRANSFERS_IN_PARALLEL))
        await in_thread(self._forget, reply, "reply-sent", "")
        logger.info("Sent a reply", extra={"event": "reply-sent", **_facts(reply)})

    async def _give_up(self, reply: Reply, error: FlwrError) -> None:
        """The SuperLink will never take this reply."""
        logger.warning(
            "Dropped a reply",
            extra={"event": "reply-dropped", "cause": error.message, **_facts(reply)},
        )
        if error.kind in RUN_OVER:
            await in_thread(self._runs.end, [reply.envelope.run_id], why=error.message)
            await in_thread(self._forget, reply, "reply-dropped", error.message)
        elif reply.envelope.error is None:
            await in_thread(self._answer_instead, reply, error)
        else:
            await in_thread(self._forget, reply, "reply-dropped", error.message)

    def _read(self, object_id: ObjectId) -> bytes | None:
        with self._store.reading() as tx:
            return tx.objects.get(object_id)

    def _forget(self, reply: Reply, kind: str, cause: str) -> None:
        """The instruction is done with: sent, or dropped for ``cause``."""
        now = self._clock.now()
        with self._store.transaction() as tx:
            tx.messages.delete([_answered(reply)])
            tx.events.append(
                at=now,
                kind=kind,
                actor=ACTOR,
                run_id=reply.envelope.run_id,
                node_id=reply.envelope.src_node_id,
                message_id=_answered(reply),
                details={"cause": cause} if cause else {},
            )
        self._stopwatches.forget(_answered(reply))

    def _answer_instead(self, reply: Reply, error: FlwrError) -> None:
        """Replace a refused reply by an error, so that the ServerApp does not wait for its TTL."""
        now = self._clock.now()
        with self._store.transaction() as tx:
            asked = tx.messages.find_instruction(_answered(reply))
            if asked is None:
                return
            tx.messages.delete([asked.envelope.message_id])
            tx.messages.add_instruction(
                asked.envelope, asked.tree, now=now, expires_at=asked.expires_at, ready=False
            )
            reason = f"the SuperLink refused the reply: {error.message}"
            answer_with_error(tx, asked.envelope, ErrorCode.CLIENT_APP_CRASHED, reason, now=now)


def _answered(reply: Reply) -> MessageId:
    assert reply.envelope.reply_to is not None, "the store takes no reply without it"
    return reply.envelope.reply_to


def _facts(reply: Reply) -> dict[str, object]:
    return {
        "run_id": reply.envelope.run_id,
        "node_id": reply.envelope.src_node_id,
        "message_id": _answered(reply),
    }
