"""Parts of simulations for tests: a backend that only notes its jobs, messages, a run."""

import pickle
from collections.abc import Iterable
from datetime import timedelta

from flwr.app import ConfigRecord, Message, RecordDict
from flwr.app.message import restore
from flwr.core.ids import RunId
from flwr.simulation.backend import Answer, Deliver, Job, Plan
from flwr.simulation.grid import InMemoryGrid
from flwr.simulation.packing import unpack
from flwr.simulation.partitions import VirtualNodes
from flwr.simulation.run import describe_run
from tests.fakes.clock import FakeClock


class NotingBackend:
    """Keeps jobs until a test has them answered."""

    plan = Plan(backend="noting", workers=1, where="this test", each="nothing")

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.is_closed = False

    def start(self, deliver: Deliver) -> None:
        self._deliver = deliver

    def submit(self, jobs: Iterable[Job]) -> None:
        self.jobs += jobs

    def close(self) -> None:
        self.is_closed = True

    def answer(self, job: Job, *, state: RecordDict | None = None) -> None:
        """Let ``job`` be answered with its own content."""
        self.jobs.remove(job)
        content: RecordDict = unpack(job.content)
        reply = Message(content, reply_to=restore(job.metadata, content=content))
        self._deliver(job, Answer(reply, None if state is None else pickle.dumps(state)))

    def fail(self, job: Job, answer: Answer) -> None:
        self.jobs.remove(job)
        self._deliver(job, answer)


class AnsweringOne(NotingBackend):
    """Answers one job of those it is given, at once."""

    def __init__(self, which: int) -> None:
        super().__init__()
        self._which = which

    def submit(self, jobs: Iterable[Job]) -> None:
        super().submit(jobs)
        self.answer(self.jobs[self._which])


class Simulated:
    """A grid whose clock stands where real time stood, and moves when told."""

    def __init__(self, nodes: int = 3) -> None:
        self.clock = FakeClock()
        self.backend = NotingBackend()
        self.nodes = VirtualNodes(nodes)
        self.run = describe_run(RunId(77))
        self.grid = InMemoryGrid(self.run, self.nodes, self.backend, self.clock)

    def message(self, partition: int = 0, *, ttl: float = 3600.0, text: str = "") -> Message:
        """Return a new instruction, made by the clock of this simulation."""
        content = RecordDict({"config": ConfigRecord({"text": text})})
        message = Message(content, self.nodes.ids[partition], "train", ttl=ttl, group_id="7")
        message.metadata.created_at = self.clock.now().timestamp()
        return message

    def advance(self, seconds: float) -> None:
        self.clock.advance(timedelta(seconds=seconds))
