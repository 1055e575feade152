"""Jobs for a backend of simulations, and who takes its answers."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from flwr.app import ConfigRecord, RecordDict
from flwr.app.metadata import Metadata
from flwr.simulation.backend import Answer, Job
from flwr.simulation.packing import pack


@dataclass
class Inbox:
    """Takes answers from the backend's threads."""

    answers: dict[str, Answer] = field(default_factory=dict)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def deliver(self, job: Job, answer: Answer) -> None:
        with self._changed:
            assert job.metadata.message_id not in self.answers
            self.answers[job.metadata.message_id] = answer
            self._changed.notify_all()

    def await_answers(self, count: int) -> dict[str, Answer]:
        """Wait for so many, and take all there are."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.answers) >= count, timeout=60)
            answers, self.answers = self.answers, {}
        return answers


def content_for(wish: str) -> RecordDict:
    """Return what tells a ClientApp of these tests what to do."""
    return RecordDict({"config": ConfigRecord({"wish": wish})})


def jobs(
    *wishes: str, ttl: float = 3600.0, content: Callable[[str], RecordDict] = content_for
) -> list[Job]:
    """Return a job per wish; its message id is its number."""
    now = time.time()
    packed = {wish: pack(content(wish)) for wish in wishes}
    made = []
    for number, wish in enumerate(wishes):
        metadata = Metadata(9, str(number), 1, 100 + number, "", "", now, ttl, "train")
        made.append(Job(metadata, packed[wish], number, None, now + ttl))
    return made
