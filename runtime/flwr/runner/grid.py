"""The ServerApp's Grid over ServerAppIo: push instructions, wait to be told of replies, pull them.

A content that many messages share is hashed once, and sent once: the SuperLink says what it lacks.
Small messages travel whole (ADR-0013): they cost one call per batch and one per wait.
"""

import copy
import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from flwr.app import Error, Message
from flwr.app.depot import Copy
from flwr.app.message import restore
from flwr.app.metadata import Metadata, stamp
from flwr.app.parts import Place
from flwr.core.errors import FlwrError, NotFoundError, UnavailableError
from flwr.core.ids import SUPERLINK_NODE, MessageId, NodeId, ObjectId, RunId
from flwr.core.limits import (
    ENCLOSED_CALL_BYTES,
    ENCLOSED_MESSAGE_BYTES,
    ONLINE_FOR,
    SMALL_MESSAGE_BYTES,
)
from flwr.core.message import Delivery, Envelope, ErrorCode
from flwr.runner.app_caller import AppCaller
from flwr.runner.large import LargeMessages
from flwr.serverapp.grid import Grid
from flwr.serverapp.run_info import Run
from flwr.wire.clients.appio import ObjectNeverCameError, ServerAppIoClient
from flwr.wire.metadata import WAIT_ALL, WAIT_ANY, WAIT_NO
from flwr.wire.objects import DeflatedMessage, deflate, inflate

log = logging.getLogger(__name__)

_BATCH: Final = 256  # messages announced in one call; trees of large models are long
_LAST_LOOK_S: Final = 5.0  # how long a wait may outlast its deadline for what is there
_HELD_S: Final = 1.0  # an empty answer that took longer was held by the SuperLink
_PAUSE_FIRST_S: Final = 0.05  # between polls of a SuperLink that does not hold them
_PAUSE_CAP_S: Final = 3.0
_PAUSE_GROWTH: Final = 1.5
_ONLINE_FOR_S: Final = ONLINE_FOR.total_seconds()
_UNKNOWN: Final[tuple[float, list[NodeId]]] = (0.0, [])


@dataclass(frozen=True, slots=True)
class _Outgoing:
    """An instruction on its way."""

    message: Message
    parts: DeflatedMessage
    delivery: Delivery


@dataclass(slots=True)
class _Pushed:
    """What became of instructions."""

    message_ids: list[MessageId | None] = field(default_factory=list)
    all_small: bool = True


class AppIoGrid(Grid):
    """Nodes of one run, reached through the SuperLink.

    Args:
        caller: the pipe to the runner.
        run: the run this ServerApp executes.
    """

    def __init__(self, caller: AppCaller, run: Run) -> None:
        self._caller, self._run = caller, run
        self._appio = ServerAppIoClient(caller)
        self._large = LargeMessages(caller, self._appio)
        self._whole_bytes = ENCLOSED_MESSAGE_BYTES  # of a message that brings its objects along
        self._received: dict[MessageId, None] = {}
        """Replies that came whole, to be confirmed with the next pull."""
        self._online: tuple[float, list[NodeId]] = _UNKNOWN
        """Until when these nodes may be taken for online, once."""
        self._wants_online = False

    def deposit(self, parts: Sequence[Place]) -> Copy | None:
        """Copy the data of an array to where messages go (``app.depot``)."""
        return self._large.deposit(self._run_id, parts)

    def close(self) -> None:
        """Nothing more is sent."""
        self._large.close()

    def set_run(self, run: Run) -> None:
        """Tell the grid which run it serves.

        Raises:
            TypeError: ``run`` is no Run.
        """
        if not isinstance(run, Run):
            raise TypeError(f"set_run takes a Run, not a {type(run).__name__}")
        self._run = copy.deepcopy(run)

    @property
    def run(self) -> Run:
        """A copy of what is known of the run."""
        return copy.deepcopy(self._run)

    @property
    def _run_id(self) -> RunId:
        return RunId(self._run.run_id)

    def get_node_ids(self) -> Iterable[int]:
        """Return the nodes that are online now, in no order.

        The SuperLink said so with the last replies, or is asked.
        """
        (until, online), self._online = self._online, _UNKNOWN
        self._wants_online = True
        return online if time.monotonic() < until else list(self._appio.nodes(self._run_id))

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Send instructions; the id of one whose node left is empty.

        Raises:
            RunEndedError: the run has ended.
            InvalidError: a message is malformed.
        """
        return [message_id or "" for message_id in self._push(list(messages)).message_ids]

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Return the replies that are there; each is handed out once.

        Raises:
            RunEndedError: the run has ended.
        """
        asked = dict.fromkeys(MessageId(text) for text in message_ids if text)
        replies: list[Message] = []
        may_be_more = bool(asked)
        while may_be_more:
            found = self._find(asked, wait=WAIT_NO)
            replies += [self._receive(one) for one in found]
            for one in found:
                asked.pop(_answered(one), None)
            may_be_more = bool(asked) and _fills_a_call(found)
        return replies

    def send_and_receive(
        self,
        messages: Iterable[Message],
        *,
        timeout: float | None = None,
    ) -> Iterable[Message]:
        """Send instructions and wait for their replies.

        Args:
            messages: the instructions.
            timeout: seconds; None waits for all.  What is unanswered by then is missing.

        Raises:
            RunEndedError: the run has ended.
        """
        return list(self.stream(messages, timeout=timeout))

    def stream(
        self,
        messages: Iterable[Message],
        *,
        timeout: float | None = None,
    ) -> Iterator[Message]:
        """Send instructions now; return their replies, each fetched when it is its turn.

        Raises:
            RunEndedError: the run has ended.
        """
        deadline = None if timeout is None else time.monotonic() + timeout
        return self._replies(self._push(list(messages)), deadline)

    def _replies(self, pushed: _Pushed, deadline: float | None) -> Iterator[Message]:
        pending = {message_id for message_id in pushed.message_ids if message_id}
        # What answers small messages is small as a rule: one call brings all of it.
        wait = WAIT_ALL if pushed.all_small else WAIT_ANY
        pause_s = _PAUSE_FIRST_S
        while pending:
            asked_at = time.monotonic()
            is_last_look = deadline is not None and asked_at >= deadline
            arrived = self._await(pending, deadline, wait=wait)
            held_s = time.monotonic() - asked_at
            for one in arrived:
                pending.discard(_answered(one))
                yield self._receive(one)
            if is_last_look:
                break
            if arrived or held_s > _HELD_S:
                pause_s = _PAUSE_FIRST_S
                continue
            left_s = pause_s if deadline is None else max(deadline - time.monotonic(), 0.0)
            time.sleep(min(pause_s, left_s))
            pause_s = min(pause_s * _PAUSE_GROWTH, _PAUSE_CAP_S)

    def _push(self, messages: Sequence[Message]) -> _Pushed:
        pushed = _Pushed()
        for batch in _batches(self._prepared(messages)):
            pushed.message_ids += self._push_batch(batch)
            pushed.all_small &= all(one.delivery.is_whole for one in batch)
        refused = pushed.message_ids.count(None)
        if refused:
            total = len(pushed.message_ids)
            log.warning("%d of %d messages were refused: their nodes left", refused, total)
        return pushed

    def _push_batch(self, batch: Sequence[_Outgoing]) -> list[MessageId | None]:
        run_id = self._run_id
        pushed = self._appio.push_messages(run_id, [one.delivery for one in batch])
        if pushed.wanted:
            if any(key in one.delivery.contents for one in batch for key in pushed.wanted):
                self._whole_bytes = SMALL_MESSAGE_BYTES  # it does not read what comes along
            objects = {key: one for part in batch for key, one in part.parts.objects.items()}
            self._large.push(run_id, pushed.wanted, objects)
        for one, message_id in zip(batch, pushed.message_ids, strict=True):
            self._stamp(one.message, message_id or "")
        return pushed.message_ids

    def _prepared(self, messages: Iterable[Message]) -> Iterator[_Outgoing]:
        made: Mapping[ObjectId, bytes] = {}  # by the message before: often the same model
        for message in messages:
            self._stamp(message, "")
            parts = deflate(message)
            delivery = parts.delivery(self._whole_bytes, made)
            made = delivery.contents
            yield _Outgoing(message, parts, delivery)

    def _stamp(self, message: Message, message_id: str) -> None:
        stamp(
            message.metadata,
            run_id=self._run_id,
            message_id=message_id,
            src_node_id=SUPERLINK_NODE,
        )

    def _await(
        self, pending: Iterable[MessageId], deadline: float | None, *, wait: str
    ) -> list[Delivery]:
        try:
            with self._caller.until(deadline):
                return self._find(pending, wait=wait)
        except UnavailableError:
            if deadline is None or time.monotonic() < deadline:
                raise
            return self._find_the_last(pending)

    def _find_the_last(self, pending: Iterable[MessageId]) -> list[Delivery]:
        """Return what is there at the end of a wait that was cut off."""
        try:
            with self._caller.until(time.monotonic() + _LAST_LOOK_S):
                return self._find(pending, wait=WAIT_NO)
        except UnavailableError:
            return []

    def _find(self, message_ids: Iterable[MessageId], *, wait: str) -> list[Delivery]:
        received = tuple(self._received)
        asks_online, self._wants_online = self._wants_online and wait != WAIT_NO, False
        found = self._appio.pull_messages(
            self._run_id, message_ids, wait=wait, received=received, asks_online=asks_online
        )
        if found.online:
            self._online = (time.monotonic() + _ONLINE_FOR_S, found.online)
        for message_id in received:  # the SuperLink knows it now
            self._received.pop(message_id, None)
        return found.deliveries

    def _receive(self, delivery: Delivery) -> Message:
        if delivery.is_whole:
            get = delivery.contents.__getitem__  # by their true ids
            message = inflate(delivery.envelope, delivery.tree, get, is_verified=True)
            self._received[delivery.envelope.message_id] = None  # confirmed with the next pull
            return message
        try:
            message = self._large.receive(self._run_id, delivery)
        except (NotFoundError, ObjectNeverCameError) as error:
            return _unavailable(delivery.envelope, error)
        self._appio.confirm(self._run_id, delivery.envelope.message_id)
        return message


def _batches(outgoing: Iterable[_Outgoing]) -> Iterator[list[_Outgoing]]:
    """Yield what one call takes: not too many messages, and all they bring along."""
    batch: list[_Outgoing] = []
    enclosed: set[ObjectId] = set()
    room = ENCLOSED_CALL_BYTES
    for one in outgoing:
        contents = one.delivery.contents
        room -= sum(len(content) for key, content in contents.items() if key not in enclosed)
        if len(batch) == _BATCH or (batch and room < 0):
            yield batch
            batch, enclosed = [], set()
            room = ENCLOSED_CALL_BYTES - sum(map(len, contents.values()))
        batch.append(one)
        enclosed.update(contents)
    if batch:
        yield batch


def _answered(reply: Delivery) -> MessageId:
    return reply.envelope.reply_to or MessageId("")


def _fills_a_call(found: Iterable[Delivery]) -> bool:
    """Tell whether the SuperLink may have kept small replies for another call."""
    size = sum(len(content) for one in found for content in one.contents.values())
    return size > ENCLOSED_CALL_BYTES - ENCLOSED_MESSAGE_BYTES


def _unavailable(reply: Envelope, cause: FlwrError) -> Message:
    """Return what takes the place of a reply whose objects cannot be had."""
    metadata = Metadata(
        run_id=reply.run_id,
        message_id=reply.message_id,
        src_node_id=reply.src_node_id,
        dst_node_id=reply.dst_node_id,
        reply_to_message_id=reply.reply_to or "",
        group_id=reply.group_id,
        created_at=reply.created_at,
        ttl=reply.ttl,
        message_type=reply.message_type,
    )
    return restore(metadata, error=Error(ErrorCode.MESSAGE_UNAVAILABLE, cause.message))
