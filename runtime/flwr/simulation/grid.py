"""The ServerApp's Grid in a simulation: no socket, no polling, no wire."""

import copy
import logging
from collections.abc import Iterable, Sequence

from flwr.app import Message
from flwr.app.metadata import stamp
from flwr.core.clock import Clock, SystemClock
from flwr.core.ids import SUPERLINK_NODE, MessageId
from flwr.serverapp.grid import Grid
from flwr.serverapp.run_info import Run
from flwr.simulation.backend import Backend, Plan
from flwr.simulation.exchange import Exchange, new_message_id
from flwr.simulation.partitions import VirtualNodes

log = logging.getLogger(__name__)


class InMemoryGrid(Grid):
    """The virtual nodes of one run; all of them are online from its beginning to its end.

    Args:
        run: the run the ServerApp executes.
        nodes: its nodes.
        backend: executes their messages; it is started here and closed by ``close``.
        clock: measures time-outs and lives of messages.
    """

    def __init__(
        self, run: Run, nodes: VirtualNodes, backend: Backend, clock: Clock | None = None
    ) -> None:
        self._run, self._nodes, self._backend = run, nodes, backend
        self._clock = clock or SystemClock()
        self._exchange = Exchange(nodes, backend, self._clock)
        backend.start(self._exchange.deliver)

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
    def plan(self) -> Plan:
        """What runs where."""
        return self._backend.plan

    @property
    def answered(self) -> int:
        """How many messages were answered so far."""
        return self._exchange.answered

    @property
    def failed(self) -> int:
        """How many of those with an error."""
        return self._exchange.failed

    def get_node_ids(self) -> Iterable[int]:
        """Return the ids of all nodes."""
        return list(self._nodes.ids)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Send instructions; the id of one to an unknown node is empty.

        Raises:
            InvalidError: a message is malformed.
        """
        return list(self._push(list(messages)))

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Return the replies that are there; each is handed out once."""
        return self._exchange.take([MessageId(text) for text in message_ids if text])

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Send instructions and wait for their replies, which come in the order of these.

        In an order of chance equal seeds would not give equal sums of floats.

        Args:
            messages: the instructions.
            timeout: seconds; None waits for all.  What is unanswered by then is missing.

        Raises:
            InvalidError: a message is malformed.
        """
        deadline = None if timeout is None else self._clock.monotonic() + timeout
        places = {message_id: place for place, message_id in enumerate(self._push(list(messages)))}
        pending = {message_id for message_id in places if message_id}
        replies: list[Message] = []
        while pending:
            arrived = self._exchange.await_any(pending, deadline)
            if not arrived:
                break
            replies += arrived
            pending -= {_answered(reply) for reply in arrived}
        return sorted(replies, key=lambda reply: places[_answered(reply)])

    def close(self) -> None:
        """End the workers; the grid cannot be used any more."""
        self._backend.close()

    def _push(self, messages: Sequence[Message]) -> list[MessageId]:
        ids = [self._stamp(message) for message in messages]
        self._exchange.put([m for m, known in zip(messages, ids, strict=True) if known])
        if refused := ids.count(MessageId("")):
            log.warning("%d of %d messages were refused: no such node", refused, len(ids))
        return ids

    def _stamp(self, message: Message) -> MessageId:
        is_known = message.metadata.dst_node_id in self._nodes
        message_id = new_message_id() if is_known else MessageId("")
        stamp(
            message.metadata,
            run_id=self._run.run_id,
            message_id=message_id,
            src_node_id=SUPERLINK_NODE,
        )
        return message_id


def _answered(reply: Message) -> MessageId:
    return MessageId(reply.metadata.reply_to_message_id)
