"""Replies out: each durable reply is sent until the SuperLink has all of it, then forgotten.

A node that dies at any point sends again what it has not forgotten; the SuperLink counts it once.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Final

from flwr.core.clock import Clock
from flwr.core.errors import FlwrError, UnavailableError, UnimplementedError
from flwr.core.ids import MessageId, ObjectId
from flwr.core.limits import ENCLOSED_MESSAGE_BYTES, TRANSFERS_IN_PARALLEL
from flwr.core.message import Delivery, ErrorCode
from flwr.shell.in_thread import call_soon, in_thread
from flwr.shell.wakeups import Wakeups
from flwr.store.store import Store
from flwr.supernode.fleet import FATAL, FleetSession
from flwr.supernode.parallel import all_of
from flwr.supernode.pieces import PiecesOut
from flwr.supernode.replies import ACTOR, answer_with_error
from flwr.supernode.runs import RUN_OVER, RunBook
from flwr.supernode.sent import SentReplies
from flwr.supernode.stopwatches import Stopwatches

logger = logging.getLogger(__name__)

SENDS_AT_ONCE: Final = 32  # one with files is answered half a second and more after it was sent
SENT_BYTES: Final = 33_554_432  # of those that came whole, which are kept until they are answered
STREAMS_AT_ONCE: Final = 8  # of replies that do not go whole
FORGET_AFTER: Final = timedelta(milliseconds=500)  # unless something else is written before
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
        sent: SentReplies,
    ) -> None:
        self._store, self._clock, self._session = store, clock, session
        self._runs, self._stopwatches, self._wakeups = runs, stopwatches, wakeups
        self._sent = sent
        self._loop = asyncio.get_running_loop()
        self._tasks: asyncio.TaskGroup | None = None  # while it runs
        self._sending: dict[MessageId, int] = {}  # and the bytes that are kept for it
        self._streams = asyncio.Semaphore(STREAMS_AT_ONCE)
        self._finished_one = asyncio.Event()
        self._is_forgetting = False

    async def run(self) -> None:
        """Send replies until cancelled, those of an earlier process first."""
        try:
            async with asyncio.TaskGroup() as self._tasks:
                while True:
                    due = await self._wakeups.until({"outbox"}, self._due, timeout=_LOOK_AGAIN)
                    for reply in due or ():
                        while not self._begin(reply):
                            self._finished_one.clear()
                            await self._finished_one.wait()
        finally:
            self._tasks = None

    def offer(self, reply: Delivery) -> None:
        """Send a small reply that was stored just now, all of it: nobody need read it again.

        Callable from any thread.
        """
        call_soon(self._loop, self._take, reply)

    async def drain(self, patience: timedelta) -> bool:
        """Wait until everything is sent; False when ``patience`` ran out first."""
        try:
            async with asyncio.timeout(patience.total_seconds()):
                while True:
                    self._finished_one.clear()
                    is_left = await in_thread(self._read_due)
                    if not is_left and not self._sending:
                        break
                    await self._finished_one.wait()
        except TimeoutError:
            return False
        finally:
            await self._forget()
        return True

    def _take(self, reply: Delivery) -> None:
        if self._tasks is not None and not self._begin(reply):
            self._wakeups.ring({"outbox"})  # it is read when there is room for it

    def _begin(self, reply: Delivery) -> bool:
        """Start to send a reply, unless somebody does; False while too many are under way."""
        reply_id = reply.envelope.message_id
        if reply_id in self._sending or reply_id in self._sent:
            return True
        kept_bytes = sum(self._sending.values()) + reply.size_bytes
        if len(self._sending) >= SENDS_AT_ONCE or (self._sending and kept_bytes > SENT_BYTES):
            return False
        assert self._tasks is not None, "only while running"
        self._sending[reply_id] = reply.size_bytes
        self._tasks.create_task(self._send(reply), name=f"reply-{reply_id[:8]}")
        return True

    async def _due(self) -> list[Delivery] | None:
        return await in_thread(self._read_due) or None

    def _read_due(self) -> list[Delivery]:
        """Return the replies to send, without their contents."""
        with self._store.reading() as tx:
            due = tx.messages.replies_to_send()
        return [
            reply.delivery
            for reply in due
            if reply.message_id not in self._sending and reply.message_id not in self._sent
        ]

    async def _send(self, reply: Delivery) -> None:
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
            self._wakeups.ring({"outbox"})
        except Exception:
            # A bug of ours, met by one reply, must not stop the others; it is tried again.
            logger.exception("Sending a reply failed", extra={"event": "bug", **_facts(reply)})
            await asyncio.sleep(_STORAGE_PAUSE.total_seconds())
            self._wakeups.ring({"outbox"})
        finally:
            del self._sending[reply.envelope.message_id]
            self._finished_one.set()

    async def _deliver_or_give_up(self, reply: Delivery) -> None:
        try:
            await self._deliver(reply)
        except (*FATAL, UnavailableError):
            raise
        except FlwrError as error:
            await self._give_up(reply, error)

    async def _deliver(self, reply: Delivery) -> None:
        fleet, attempt = self._session.fleet, self._session.attempt
        runtime_s = self._stopwatches.seconds(_answered(reply))
        if not reply.contents:
            contents = await in_thread(self._read_small, reply.envelope.message_id)
            reply = replace(reply, contents=contents)
        wanted = await attempt(fleet.push_reply, reply, runtime_s)
        if wanted:
            async with self._streams:
                await self._push_objects(reply, deque(wanted))
        self._stopwatches.forget(_answered(reply))
        await self._note_sent(reply)
        logger.info("Sent a reply", extra={"event": "reply-sent", **_facts(reply)})

    async def _push_objects(self, reply: Delivery, pending: deque[ObjectId]) -> None:
        fleet, attempt = self._session.fleet, self._session.attempt
        try:
            out = PiecesOut(self._session, self._store, reply.envelope.run_id)
            await out.push(pending)
        except UnimplementedError:
            logger.debug("The SuperLink has no streams", extra={"event": "no-streams"})
        else:
            return

        async def push_some() -> None:
            while pending:
                object_id = pending.popleft()
                content = await in_thread(self._read, object_id)
                if content is None:
                    continue  # asked for by a server that lost track; not ours
                await attempt(fleet.push_object, reply.envelope.run_id, object_id, content)

        await all_of(push_some, min(len(pending), TRANSFERS_IN_PARALLEL))

    async def _note_sent(self, reply: Delivery) -> None:
        """Have a reply forgotten with what the node writes next, or soon."""
        if not self._sent.add(reply.envelope):
            await self._forget()
        elif not self._is_forgetting and self._tasks is not None:
            self._is_forgetting = True
            self._tasks.create_task(self._forget_soon(), name="forget-sent")

    async def _forget_soon(self) -> None:
        try:
            while self._sent:
                times = self._sent.times_forgotten
                await asyncio.sleep(FORGET_AFTER.total_seconds())
                is_left = self._sent.times_forgotten == times  # nothing else was written meanwhile
                if is_left and not await self._forget():
                    await asyncio.sleep(_STORAGE_PAUSE.total_seconds())
        finally:
            self._is_forgetting = False

    async def _forget(self) -> bool:
        """Forget what was sent; False when it cannot be written down now."""
        try:
            await in_thread(self._sent.forget)
        except Exception as error:  # noqa: BLE001 - whatever it is: sending goes on, this can wait
            logger.warning(
                "Cannot forget sent replies now", extra={"event": "storage", "cause": str(error)}
            )
            return False
        return True

    async def _give_up(self, reply: Delivery, error: FlwrError) -> None:
        """The SuperLink will never take this reply."""
        logger.warning(
            "Dropped a reply",
            extra={"event": "reply-dropped", "cause": error.message, **_facts(reply)},
        )
        if error.kind in RUN_OVER:
            await in_thread(self._runs.end, [reply.envelope.run_id], why=error.message)
            await in_thread(self._drop, reply, error.message)
        elif reply.envelope.error is None:
            await in_thread(self._answer_instead, reply, error)
        else:
            await in_thread(self._drop, reply, error.message)

    def _read(self, object_id: ObjectId) -> bytes | None:
        with self._store.reading() as tx:
            return tx.objects.get(object_id)

    def _read_small(self, reply_id: MessageId) -> Mapping[ObjectId, bytes]:
        with self._store.reading() as tx:
            return tx.objects.contents(reply_id, at_most=ENCLOSED_MESSAGE_BYTES)

    def _drop(self, reply: Delivery, cause: str) -> None:
        """The instruction is done with, although nobody has its reply."""
        now = self._clock.now()
        with self._store.transaction() as tx:
            tx.messages.delete([_answered(reply)])
            tx.events.append(
                at=now,
                kind="reply-dropped",
                actor=ACTOR,
                run_id=reply.envelope.run_id,
                node_id=reply.envelope.src_node_id,
                message_id=_answered(reply),
                details={"cause": cause},
            )
        self._stopwatches.forget(_answered(reply))

    def _answer_instead(self, reply: Delivery, error: FlwrError) -> None:
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


def _answered(reply: Delivery) -> MessageId:
    assert reply.envelope.reply_to is not None, "the store takes no reply without it"
    return reply.envelope.reply_to


def _facts(reply: Delivery) -> dict[str, object]:
    return {
        "run_id": reply.envelope.run_id,
        "node_id": reply.envelope.src_node_id,
        "message_id": _answered(reply),
    }
