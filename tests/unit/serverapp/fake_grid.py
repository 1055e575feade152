"""A grid whose nodes answer at once, or when told."""

from collections.abc import Callable, Iterable
from datetime import timedelta
from itertools import count

from flwr.app import Message
from flwr.app.metadata import stamp
from flwr.serverapp import Grid
from flwr.serverapp.pace import Pace
from flwr.serverapp.run_info import Run
from tests.fakes.clock import FakeClock

Answer = Callable[[Message], Message | None]


class FakeGrid(Grid):
    """Nodes 101, 102, and so on; ``answer`` gives the reply to an instruction, None for silence."""

    def __init__(self, nodes: int, answer: Answer) -> None:
        self.nodes = list(range(101, 101 + nodes))
        self.answer = answer
        self.sent: list[Message] = []
        self.pauses: list[float] = []
        self.clock = FakeClock()
        self.pace = Pace(self.clock, self.sleep)
        self.on_pause: Callable[[], None] = lambda: None
        self._numbers = count(1)
        self._pushed: dict[str, Message] = {}

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.clock.advance(timedelta(seconds=seconds))
        self.on_pause()

    def set_run(self, run: Run) -> None:
        raise NotImplementedError

    @property
    def run(self) -> Run:
        raise NotImplementedError

    def get_node_ids(self) -> Iterable[int]:
        return set(self.nodes)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        ids = []
        for message in messages:
            if message.metadata.dst_node_id not in self.nodes:
                ids.append("")
                continue
            message_id = str(next(self._numbers))
            stamp(message.metadata, run_id=7, message_id=message_id, src_node_id=1)
            self._pushed[message_id] = message
            self.sent.append(message)
            ids.append(message_id)
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        replies = []
        for message_id in sorted(message_ids, key=int):
            reply = self.answer(self._pushed[message_id])
            if reply is not None:
                replies.append(reply)
        return replies
