"""The ServerApp's Grid in a simulation: no socket, no polling, no wire."""

import copy
import logging
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from flwr.app import Message
from flwr.app.metadata import stamp
from flwr.core.clock import Clock, SystemClock
from flwr.core.ids import SUPERLINK_NODE, MessageId
from flwr.serverapp.grid import Grid
from flwr.serverapp.run_info import Run
from flwr.simulation.backend import Backend, Job, Plan
from flwr.simulation.exchange import Exchange, new_message_id
from flwr.simulation.partitions import VirtualNodes
from flwr.simulation.tally import Tally

log = logging.getLogger(__name__)


_KEPT_BYTES: Final = 128 * 1024 * 1024  # of replies, if they are as large as the instructions
_AHEAD_MAX: Final = 4096  # instructions


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
    def tally(self) -> Tally:
        """How many messages were sent and answered so far."""
        return self._exchange.tally

    def get_node_ids(self) -> Iterable[int]:
        """Return the ids of all nodes."""
        return self._nodes.ids

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Send instructions; the id of one to an unknown node is empty.

        Raises:
            InvalidError: a message is malformed.
        """
        asked = list(messages)
        self._exchange.put(self._prepare(asked))
        return [message.metadata.message_id for message in asked]

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
        return list(self._exchanged(self._prepare(list(messages)), timeout, window=None))

    def stream(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        """Send instructions and return their replies, in the order of these.

        If all replies take much memory, they come one by one, and so many instructions are out at
        a time that their replies fit.  Else they come in a list, whose mean is upstream's to the
        last bit.

        Args:
            messages: the instructions.
            timeout: seconds; None waits for all.  What is unanswered by then is missing.

        Raises:
            InvalidError: a message is malformed.
        """
        jobs = self._prepare(list(messages))
        expected = sum(job.content.size for job in jobs)
        if expected <= _KEPT_BYTES:
            return list(self._exchanged(jobs, timeout, window=None))
        window = min(_KEPT_BYTES * len(jobs) // expected, _AHEAD_MAX)
        return self._exchanged(jobs, timeout, window=max(window, 4 * self._backend.plan.workers))

    def close(self) -> None:
        """End the workers; the grid cannot be used any more."""
        self._backend.close()
        self._exchange.close()

    def _prepare(self, messages: Sequence[Message]) -> list[Job]:
        """Give messages their ids; return those to known nodes as jobs."""
        known = [message for message in messages if self._stamp(message)]
        if refused := len(messages) - len(known):
            log.warning("%d of %d messages were refused: no such node", refused, len(messages))
        return self._exchange.prepare(known)

    def _exchanged(
        self, jobs: Sequence[Job], timeout: float | None, *, window: int | None
    ) -> Iterator[Message]:
        """Send jobs and yield their replies in the same order.

        In an order of chance equal seeds would not give equal sums of floats.

        Args:
            jobs: the instructions.
            timeout: in seconds.
            window: most jobs that are out, or whose replies are here; None: all.
        """
        deadline = None if timeout is None else self._clock.monotonic() + timeout
        left, order = deque(jobs), deque[MessageId]()
        size = len(jobs) if window is None else window
        pending: set[MessageId] = set()
        here: dict[MessageId, Message] = {}
        while left or order:
            if left and len(order) <= size - max(size // 4, 1):  # some at once, for whole batches
                sent = [left.popleft() for _ in range(min(size - len(order), len(left)))]
                ids = [MessageId(job.metadata.message_id) for job in sent]
                order.extend(ids)
                pending.update(ids)
                self._exchange.put(sent)
            while order and order[0] in here:
                yield here.pop(order.popleft())
            if pending:
                # What is not handed on one by one is waited for together.
                enough = len(pending) if window is None else min(len(pending), max(size // 8, 1))
                arrived = self._exchange.await_some(pending, deadline, at_least=enough)
                new = {_answered(reply): reply for reply in arrived}
                here |= new
                pending.difference_update(new)
                if not arrived:
                    break
        yield from (here[message_id] for message_id in order if message_id in here)

    def _stamp(self, message: Message) -> bool:
        """Give a message its id, an empty one if there is no such node."""
        is_known = message.metadata.dst_node_id in self._nodes
        message_id = new_message_id() if is_known else MessageId("")
        stamp(
            message.metadata,
            run_id=self._run.run_id,
            message_id=message_id,
            src_node_id=SUPERLINK_NODE,
        )
        return is_known


def _answered(reply: Message) -> MessageId:
    return MessageId(reply.metadata.reply_to_message_id)
