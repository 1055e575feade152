"""The ServerApp's Grid over ServerAppIo: push instructions, wait to be told of replies, pull them.

A content that many messages share is hashed once, and sent once: the SuperLink says what it lacks.
"""

import copy
import logging
import time
from collections.abc import Iterable, Sequence
from typing import Final

from flwr.app import Error, Message
from flwr.app.message import restore
from flwr.app.metadata import Metadata, stamp
from flwr.core.errors import FlwrError, NotFoundError, UnavailableError
from flwr.core.ids import SUPERLINK_NODE, MessageId, ObjectId, RunId
from flwr.core.message import Delivery, Envelope, ErrorCode
from flwr.runner.app_caller import AppCaller
from flwr.runner.transfer import Get, Transfers
from flwr.serverapp.grid import Grid
from flwr.serverapp.run_info import Run
from flwr.wire.clients.appio import ObjectNeverCameError, ServerAppIoClient
from flwr.wire.metadata import WAIT_ANY, WAIT_NO
from flwr.wire.objects import DeflatedMessage, deflate, inflate

log = logging.getLogger(__name__)

_BATCH: Final = 256  # messages announced in one call; trees of large models are long
_HELD_S: Final = 1.0  # an empty answer that took longer was held by the SuperLink
_PAUSE_FIRST_S: Final = 0.05  # between polls of a SuperLink that does not hold them
_PAUSE_CAP_S: Final = 3.0
_PAUSE_GROWTH: Final = 1.5


class AppIoGrid(Grid):
    """Nodes of one run, reached through the SuperLink.

    Args:
        caller: the pipe to the runner.
        run: the run this ServerApp executes.
    """

    def __init__(self, caller: AppCaller, run: Run) -> None:
        self._caller, self._run = caller, run
        self._appio = ServerAppIoClient(caller)
        self._transfers = Transfers()

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
        """Return the nodes that are online now, in no order."""
        return list(self._appio.nodes(self._run_id))

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Send instructions; the id of one whose node left is empty.

        Raises:
            RunEndedError: the run has ended.
            InvalidError: a message is malformed.
        """
        return [message_id or "" for message_id in self._push(list(messages))]

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Return the replies that are there; each is handed out once.

        Raises:
            RunEndedError: the run has ended.
        """
        asked = [MessageId(text) for text in message_ids if text]
        return self._receive_all(self._find(asked, wait=WAIT_NO) if asked else [])

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
        deadline = None if timeout is None else time.monotonic() + timeout
        pending = {message_id for message_id in self._push(list(messages)) if message_id}
        replies: list[Message] = []
        pause_s = _PAUSE_FIRST_S
        while pending:
            asked_at = time.monotonic()
            arrived = self._await_any(pending, deadline)
            replies += arrived
            pending -= {MessageId(reply.metadata.reply_to_message_id) for reply in arrived}
            now = time.monotonic()
            if deadline is not None and now >= deadline:
                break
            if arrived or now - asked_at > _HELD_S:
                pause_s = _PAUSE_FIRST_S
                continue
            time.sleep(pause_s if deadline is None else min(pause_s, deadline - now))
            pause_s = min(pause_s * _PAUSE_GROWTH, _PAUSE_CAP_S)
        return replies

    def _push(self, messages: Sequence[Message]) -> list[MessageId | None]:
        ids: list[MessageId | None] = []
        for start in range(0, len(messages), _BATCH):
            ids += self._push_batch(messages[start : start + _BATCH])
        refused = ids.count(None)
        if refused:
            log.warning("%d of %d messages were refused: their nodes left", refused, len(ids))
        return ids

    def _push_batch(self, messages: Sequence[Message]) -> list[MessageId | None]:
        run_id = self._run_id
        deflated = [self._deflate(message) for message in messages]
        pushed = self._appio.push_messages(
            run_id, [Delivery(part.envelope, part.tree) for part in deflated]
        )
        objects = {key: one.make for part in deflated for key, one in part.objects.items()}
        self._transfers.push(
            pushed.wanted, objects, lambda key, data: self._appio.put_object(run_id, key, data)
        )
        for message, message_id in zip(messages, pushed.message_ids, strict=True):
            self._stamp(message, message_id or "")
        return pushed.message_ids

    def _deflate(self, message: Message) -> DeflatedMessage:
        self._stamp(message, "")
        return deflate(message)

    def _stamp(self, message: Message, message_id: str) -> None:
        stamp(
            message.metadata,
            run_id=self._run_id,
            message_id=message_id,
            src_node_id=SUPERLINK_NODE,
        )

    def _await_any(self, pending: Iterable[MessageId], deadline: float | None) -> list[Message]:
        try:
            with self._caller.until(deadline):
                deliveries = self._find(pending, wait=WAIT_ANY)
        except UnavailableError:
            if deadline is None or time.monotonic() < deadline:
                raise
            return []
        return self._receive_all(deliveries)

    def _find(self, message_ids: Iterable[MessageId], *, wait: str) -> list[Delivery]:
        return self._appio.pull_messages(self._run_id, message_ids, wait=wait)

    def _receive_all(self, deliveries: Sequence[Delivery]) -> list[Message]:
        if len(deliveries) == 1:  # then its objects travel in parallel, else the messages do
            tree = deliveries[0].tree
            return [self._receive(deliveries[0], self._transfers.ahead(tree.walk(), self._fetch))]
        return self._transfers.map(lambda one: self._receive(one, self._fetch), deliveries)

    def _receive(self, delivery: Delivery, get: Get) -> Message:
        try:
            message = inflate(delivery.envelope, delivery.tree, get)
        except (NotFoundError, ObjectNeverCameError) as error:
            return _unavailable(delivery.envelope, error)
        self._appio.confirm(self._run_id, delivery.envelope.message_id)
        return message

    def _fetch(self, object_id: ObjectId) -> bytes:
        return self._appio.get_object(self._run_id, object_id)


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
