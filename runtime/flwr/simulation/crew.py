"""The threads of a backend, which employ one worker after the other, and the jobs they share."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from flwr.core.clock import Clock
from flwr.simulation.backend import Answer, Deliver, Job

log = logging.getLogger(__name__)

Employ = Callable[[int, Deliver], None]
"""Serves with one worker, for the thread of this number, until it is lost or the run ends."""

_STILLBORN: Final = 3  # workers in a row that end before they are ready, until a thread gives up


class Crew:
    """One thread per worker there may be, and one queue of jobs for all of them.

    Args:
        size: how many threads.
        name: what they are called, before their numbers.
        clock: tells which jobs have expired.
        losses: what ``Employ`` raises when its worker was lost before it was ready.
    """

    def __init__(self, size: int, name: str, clock: Clock, *losses: type[Exception]) -> None:
        self.size, self._name, self._clock, self._losses = size, name, clock, losses
        self.changed = threading.Condition()
        """Guards the queue, and what a backend keeps of its workers."""
        self.queue: deque[Job] = deque()
        self.is_closing = False
        self._given_up = 0  # threads that cannot start a worker
        self._threads: list[threading.Thread] = []

    @property
    def is_started(self) -> bool:
        """False until the threads have been started."""
        return bool(self._threads)

    def start(self, employ: Employ, deliver: Deliver) -> None:
        """Start the threads."""
        self._threads = [
            threading.Thread(
                target=self._run, args=(n, employ, deliver), name=f"{self._name}-{n}", daemon=True
            )
            for n in range(self.size)
        ]
        for thread in self._threads:
            thread.start()

    def submit(self, jobs: Iterable[Job]) -> None:
        """Queue jobs; returns at once."""
        with self.changed:
            self.queue.extend(jobs)
            self.changed.notify_all()

    def give_back(self, jobs: Sequence[Job]) -> None:
        """Queue jobs that a lost worker had not begun; they are next."""
        with self.changed:
            self.queue.extendleft(reversed(jobs))
            self.changed.notify_all()

    def await_jobs(self) -> bool:
        """Wait, holding ``changed``, until there are jobs; False says that the run has ended."""
        while not self.queue and not self.is_closing:
            self.changed.wait()
        return not self.is_closing

    def dismiss(self) -> None:
        """Let the threads end, holding ``changed``; what is queued is dropped."""
        self.is_closing = True
        self.queue.clear()
        self.changed.notify_all()

    def join(self, timeout: float | None = None) -> None:
        """Wait until each thread has ended, for none of them longer than ``timeout`` seconds."""
        for thread in self._threads:
            thread.join(timeout)

    def life_left(self, job: Job) -> float:
        """Return the seconds until a job expires."""
        return job.expires_at - self._clock.now().timestamp()

    def note_loss(self, text: str, cause: Exception) -> None:
        """Log how a worker was lost, unless it is because the run has ended."""
        if not self.is_closing:
            log.warning(text, cause, extra={"event": "worker-lost", "cause": str(cause)})

    def _run(self, number: int, employ: Employ, deliver: Deliver) -> None:
        """Employ one worker after the other; the body of a thread."""
        stillborn, cause = 0, ""
        while not self.is_closing and stillborn < _STILLBORN:
            try:
                employ(number, deliver)
                stillborn = 0
            except self._losses as error:
                stillborn, cause = stillborn + 1, str(error)
                self.note_loss("A worker was lost before it was ready: it %s", error)
        with self.changed:
            self._given_up += 1
            if self._given_up < self.size:
                return  # there are others
        self._refuse_all(deliver, Answer.crashed(f"no worker can be started: it {cause}"))

    def _refuse_all(self, deliver: Deliver, answer: Answer) -> None:
        while True:
            with self.changed:
                if not self.await_jobs():
                    return
                refused = list(self.queue)
                self.queue.clear()
            for job in refused:
                deliver(job, answer)
