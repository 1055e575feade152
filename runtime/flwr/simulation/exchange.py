"""Messages of a simulated run: in whose hands each is, and what each node keeps between them.

The part that a SuperLink and SuperNodes play in a deployment, without anything between them: one
lock, no wire.  A node works on one message at a time, so its state is never written by two.
"""

import heapq
import logging
import secrets
import threading
from collections import deque
from collections.abc import Collection, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from typing import Final

from flwr.app import Error, Message, RecordDict
from flwr.app.message import restore
from flwr.app.metadata import Metadata, stamp
from flwr.core.clock import Clock
from flwr.core.errors import InvalidError
from flwr.core.ids import SUPERLINK_NODE, MessageId, NodeId
from flwr.core.limits import OLDEST_CREATED_AT
from flwr.core.message import SYSTEM_MESSAGE, ErrorCode
from flwr.simulation.backend import Answer, Backend, Job, Lost
from flwr.simulation.packing import Packed, pack
from flwr.simulation.partitions import VirtualNodes
from flwr.simulation.states import NodeStates, StateRefusedError
from flwr.simulation.tally import Tally

log = logging.getLogger(__name__)

_ID_BYTES: Final = 32
_FOREVER_S: Final = threading.TIMEOUT_MAX
_UNKNOWN: Final = "The instruction is unknown or has expired."
_TOO_LATE: Final = "The reply has expired."


@dataclass(slots=True, eq=False)
class _Waiter:
    """A thread that waits for replies."""

    asked: AbstractSet[MessageId]
    lacks: int  # of them, until it is woken


class Exchange:
    """Takes instructions, has them executed, and keeps the replies until they are asked for."""

    def __init__(self, nodes: VirtualNodes, backend: Backend, clock: Clock) -> None:
        self._nodes, self._backend, self._clock = nodes, backend, clock
        self._changed = threading.Condition()
        self._open: dict[MessageId, Job] = {}
        self._replies: dict[MessageId, Message] = {}
        self._expiries: list[tuple[float, MessageId]] = []  # a heap; answered ones linger
        self._busy: dict[NodeId, deque[Job]] = {}  # a working node, and what waits for it
        self._states = NodeStates()
        self._waiters: list[_Waiter] = []
        self._retried: set[MessageId] = set()
        self.tally = Tally()

    def prepare(self, messages: Iterable[Message]) -> list[Job]:
        """Return instructions that have their ids as jobs; equal content objects are encoded once.

        Raises:
            InvalidError: a message is malformed.
        """
        encoded: dict[int, Packed] = {}
        jobs = [self._job(message, encoded) for message in messages]
        with self._changed:
            self.tally.expect(len(jobs))
        return jobs

    def put(self, jobs: Iterable[Job]) -> None:
        """Take prepared instructions and have them executed."""
        with self._changed:
            ready = []
            for job in jobs:
                message_id = MessageId(job.metadata.message_id)
                self._open[message_id] = job
                heapq.heappush(self._expiries, (job.expires_at, message_id))
                node_id = NodeId(job.metadata.dst_node_id)
                if node_id in self._busy:
                    self._busy[node_id].append(job)
                else:
                    self._busy[node_id] = deque()
                    ready.append(self._with_state(job))
        self._backend.submit(ready)

    def deliver(self, job: Job, answer: Answer) -> None:
        """Take the answer to a job and let its node go on with its next."""
        message_id, node_id = MessageId(job.metadata.message_id), NodeId(job.metadata.dst_node_id)
        if isinstance(answer.reply, Lost) and self._may_retry(job):
            log.info("Node %d gets its message again: its worker %s", node_id, answer.reply.reason)
            self._backend.submit([job])
            return
        with self._changed:
            self._retried.discard(message_id)
            answer = self._with_state_kept(job, answer)
            if self._open.pop(message_id, None) is not None:
                self._keep(message_id, self._reply(job, answer))
            waiting = self._busy[node_id]
            following = [self._with_state(waiting.popleft())] if waiting else []
            if not following:
                del self._busy[node_id]
        if following:  # else every idle worker would wake for nothing
            self._backend.submit(following)

    def take(self, asked: Collection[MessageId]) -> list[Message]:
        """Return the replies that are there, each once; an unknown instruction has an error."""
        with self._changed:
            self._expire()
            unknown = [m for m in asked if m not in self._open and m not in self._replies]
            found = [self._replies.pop(m) for m in asked if m in self._replies]
            return found + [self._unknown_reply(m) for m in unknown]

    def await_some(
        self, asked: AbstractSet[MessageId], deadline: float | None, *, at_least: int = 1
    ) -> list[Message]:
        """Wait for replies to known instructions; return those there, at the deadline any number.

        Args:
            asked: instructions whose replies were not taken yet.
            deadline: reading of the clock's ``monotonic``; None waits as long as they live.
            at_least: how many of them are worth waking for.
        """
        with self._changed:
            while True:
                self._expire()
                there = self._replies.keys() & asked
                left = _FOREVER_S if deadline is None else deadline - self._clock.monotonic()
                if len(there) >= at_least or left <= 0:
                    return [self._replies.pop(message_id) for message_id in there]
                waiter = _Waiter(asked, at_least - len(there))
                self._waiters.append(waiter)
                try:
                    self._changed.wait(min(self._until_expiry(), left, _FOREVER_S))
                finally:
                    self._waiters.remove(waiter)

    def close(self) -> None:
        """Forget what nodes keep; nothing can be put or delivered any more."""
        with self._changed:
            self._states.close()

    def _may_retry(self, job: Job) -> bool:
        """Tell whether a job whose worker was lost gets its second chance, and note it."""
        message_id = MessageId(job.metadata.message_id)
        with self._changed:
            if message_id in self._retried or job.expires_at <= self._now():
                return False
            self._retried.add(message_id)
        return True

    def _job(self, message: Message, encoded: dict[int, Packed]) -> Job:
        metadata = message.metadata
        _check(message)
        content = message.content
        if id(content) not in encoded:
            encoded[id(content)] = pack(content)
        return Job(
            metadata=metadata,
            content=encoded[id(content)],
            partition=self._nodes.partition_of(NodeId(metadata.dst_node_id)),
            state=None,
            expires_at=metadata.created_at + metadata.ttl,
        )

    def _with_state(self, job: Job) -> Job:
        state = self._states.get(job.partition)
        return job if state is None else replace(job, state=state)

    def _with_state_kept(self, job: Job, answer: Answer) -> Answer:
        """Keep what a node wants kept; without that, its reply must not count."""
        if answer.state is None:
            return answer
        try:
            self._states.put(job.partition, answer.state)
        except StateRefusedError as why:
            text = f"the state of the node cannot be kept: {why}"
            return Answer(Error(ErrorCode.CLIENT_APP_CRASHED, text))
        return answer

    def _reply(self, job: Job, answer: Answer) -> Message:
        reply = answer.reply
        if isinstance(reply, Lost):
            reply = Error(ErrorCode.CLIENT_APP_CRASHED, f"ClientApp {reply.reason}")
        if isinstance(reply, Error):
            return _error_reply(job, reply)
        _stamp(reply, job)
        return reply if job.expires_at > self._now() else _outlived(reply)

    def _keep(self, message_id: MessageId, reply: Message) -> None:
        self._replies[message_id] = reply
        self.tally.answer(is_error=reply.has_error())
        for waiter in self._waiters:
            waiter.lacks -= message_id in waiter.asked
        if any(waiter.lacks <= 0 for waiter in self._waiters):
            self._changed.notify_all()

    def _expire(self) -> None:
        """Answer what nobody answered in time; replies nobody asked for go the same way."""
        now = self._now()
        while self._expiries and self._expiries[0][0] <= now:
            _, message_id = heapq.heappop(self._expiries)
            if self._open.pop(message_id, None) is not None:
                self._keep(message_id, self._unknown_reply(message_id))
            elif message_id in self._replies:
                self._replies[message_id] = _outlived(self._replies[message_id])

    def _until_expiry(self) -> float:
        """Return the seconds until the next instruction expires."""
        while self._expiries and self._expiries[0][1] not in self._open:
            heapq.heappop(self._expiries)
        return max(self._expiries[0][0] - self._now(), 0.0) if self._expiries else _FOREVER_S

    def _unknown_reply(self, asked: MessageId) -> Message:
        metadata = Metadata(
            run_id=0,
            message_id=new_message_id(),
            src_node_id=SUPERLINK_NODE,
            dst_node_id=SUPERLINK_NODE,
            reply_to_message_id=asked,
            group_id="",
            created_at=self._now(),
            ttl=0.0,
            message_type=SYSTEM_MESSAGE,
        )
        return restore(metadata, error=Error(ErrorCode.MESSAGE_UNAVAILABLE, _UNKNOWN))

    def _now(self) -> float:
        return self._clock.now().timestamp()


def new_message_id() -> MessageId:
    """Return an id in the form of all message ids; in memory nobody needs it to be a hash."""
    return MessageId(secrets.token_hex(_ID_BYTES))


def _error_reply(job: Job, error: Error) -> Message:
    reply = Message(error, reply_to=restore(job.metadata, content=RecordDict()))
    _stamp(reply, job)
    return reply


def _outlived(reply: Message) -> Message:
    """Return what takes the place of a reply after its life; an error is told at any time."""
    if reply.has_error():
        return reply
    told = reply.metadata
    stamp(told, run_id=told.run_id, message_id=told.message_id, src_node_id=SUPERLINK_NODE)
    return restore(told, error=Error(ErrorCode.REPLY_MESSAGE_UNAVAILABLE, _TOO_LATE))


def _stamp(reply: Message, job: Job) -> None:
    asked = job.metadata
    stamp(
        reply.metadata,
        run_id=asked.run_id,
        message_id=new_message_id(),
        src_node_id=asked.dst_node_id,
    )


def _check(message: Message) -> None:
    """Refuse what a SuperLink refuses.

    Raises:
        InvalidError: naming the field.
    """
    metadata = message.metadata
    if metadata.created_at < OLDEST_CREATED_AT:
        raise InvalidError("message refused: created_at lies before 28 Feb 2025")
    if metadata.ttl <= 0:
        raise InvalidError("message refused: ttl must be positive")
    if metadata.reply_to_message_id:
        raise InvalidError("message refused: an instruction replies to nothing")
    if not message.has_content():
        raise InvalidError("message refused: an instruction carries content")
