"""The Ray backend: workers wherever a Ray cluster has room, for any number of virtual nodes.

One thread per worker hands it batches of jobs and delivers their answers.  How long clients take
decides how many make a batch: of slow ones each goes alone, so that a worker that ends takes little
along and nobody waits behind another.  Which job of a batch ended its worker cannot be known: all
of them are lost, and whoever is sent again goes alone.
"""

import logging
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from flwr.core.clock import Clock
from flwr.shell.cpus import available_cpus
from flwr.simulation.backend import Answer, Deliver, Job, Lost, Order, Plan
from flwr.simulation.capacity import plan_workers
from flwr.simulation.crew import Crew
from flwr.simulation.ray_cluster import RayCluster
from flwr.simulation.ray_output import Printed, show
from flwr.simulation.ray_pace import Pace
from flwr.simulation.ray_worker import Answered, RayWorker, RayWorkerLostError, Shelf

log = logging.getLogger(__name__)

_ENDS_WITHIN_S: Final = 5.0  # unless its worker's machine is gone and nobody has noticed yet
_LONGEST_WAIT_S: Final = 86_400.0


class RayBackend:
    """A ``Backend`` of Ray's processes.

    Raises:
        ImpossibleNeedsError: not even one ClientApp would fit; with the numbers.
        InvalidError: Ray refuses its settings, or no positive number of workers is wanted.
        UnavailableError: there is no Ray to be had.
    """

    def __init__(self, order: Order, clock: Clock) -> None:
        self._order, self._clock = order, clock
        needed = order.needs.cpus * min(order.workers or 0, order.nodes)
        self._cluster = RayCluster(order.init_args, cpus=max(available_cpus(), round(needed)))
        try:
            workers = plan_workers(
                order.needs, self._cluster.machines, nodes=order.nodes, wanted=order.workers
            )
            where = self._cluster.where
        except BaseException:
            self._cluster.close()
            raise
        self._plan = Plan(backend="ray", workers=workers, where=where, each=str(order.needs))
        self._pace = Pace(workers)
        self._shelf = Shelf(self._cluster.ray)
        self._setup: Any = None  # where it lies in Ray's object store
        self._crew = Crew(workers, "ray", clock, RayWorkerLostError)
        self._suspects: set[str] = set()  # ids of jobs that were lost once
        self._live: dict[int, RayWorker] = {}

    @property
    def plan(self) -> Plan:
        """What runs where."""
        return self._plan

    def start(self, deliver: Deliver) -> None:
        """Start the workers; they import the app while the ServerApp begins."""
        self._setup = self._cluster.ray.put(self._order.setup)
        self._crew.start(self._employ, deliver)

    def submit(self, jobs: Iterable[Job]) -> None:
        """Queue jobs; returns at once."""
        self._crew.submit(jobs)

    def close(self) -> None:
        """End the workers, and Ray with them where it is ours."""
        with self._crew.changed:
            self._crew.dismiss()
            workers = list(self._live.values())
        for worker in workers:
            worker.kill()
        self._crew.join(_ENDS_WITHIN_S)
        self._cluster.close()

    def _employ(self, number: int, deliver: Deliver) -> None:
        """Start a worker and serve it until it is lost or the run ends.

        Raises:
            RayWorkerLostError: it was lost before it was ready.
        """
        with self._crew.changed:
            if self._crew.is_closing:
                return
            worker = RayWorker(self._cluster.ray, self._setup, self._order, self._shelf)
            self._live[number] = worker
        try:
            self._show(worker.prepare())
            self._serve(worker, deliver)
        finally:
            with self._crew.changed:
                del self._live[number]
            worker.kill()

    def _serve(self, worker: RayWorker, deliver: Deliver) -> None:
        """Keep a worker busy; when it is lost, deliver or give back what it had."""
        sent: deque[_Sent] = deque()
        try:
            while self._send_ahead(worker, sent, deliver):
                answered = self._await(worker, sent[0])
                self._pace.note(len(answered.replies), answered.work_s)
                self._show(answered.printed)
                for job, reply in zip(sent.popleft().jobs, answered.replies, strict=True):
                    self._suspects.discard(job.metadata.message_id)
                    deliver(job, Answer.unpack(reply))
        except RayWorkerLostError as lost:
            self._crew.note_loss("A worker was lost, another takes its place: it %s", lost)
            if self._crew.is_closing or not sent:
                return
            self._lose(sent.popleft().jobs, str(lost), deliver)
            self._crew.give_back([job for batch in sent for job in batch.jobs])

    def _send_ahead(self, worker: RayWorker, sent: "deque[_Sent]", deliver: Deliver) -> bool:
        """Let the worker have as many batches as it should; tell whether it has any."""
        while len(sent) < self._pace.ahead:
            taken = self._next_batch(is_patient=not sent)
            if not taken:
                break
            jobs = [job for job in taken if self._crew.life_left(job) > 0]
            for job in taken:
                if job not in jobs:
                    deliver(job, Answer.expired())
            if jobs:
                sent.append(_Sent(jobs, worker.send(jobs)))
        return bool(sent)

    def _await(self, worker: RayWorker, sent: "_Sent") -> Answered:
        """Return the answers to a batch.

        Raises:
            RayWorkerLostError: the worker ended, or was ended because a job has expired.
        """
        while (left := min(self._crew.life_left(job) for job in sent.jobs)) > 0:
            answered = worker.receive(sent.call, min(left, _LONGEST_WAIT_S))
            if answered is not None:
                return answered
        raise RayWorkerLostError("was stopped: a message expired while it was at work")

    def _next_batch(self, *, is_patient: bool) -> list[Job]:
        """Take jobs from the queue; none says that there are none, or that the run has ended."""
        with self._crew.changed:
            if is_patient:
                self._crew.await_jobs()
            queue = self._crew.queue
            if not queue:
                return []
            if queue[0].metadata.message_id in self._suspects:
                return [queue.popleft()]
            size = self._pace.batch_size(len(queue))
            batch = [queue.popleft()]
            while len(batch) < size and self._is_next_innocent():
                batch.append(queue.popleft())
            return batch

    def _is_next_innocent(self) -> bool:
        queue = self._crew.queue
        return bool(queue) and queue[0].metadata.message_id not in self._suspects

    def _lose(self, jobs: Sequence[Job], reason: str, deliver: Deliver) -> None:
        with self._crew.changed:
            for job in jobs:
                message_id = job.metadata.message_id
                (self._suspects.discard if message_id in self._suspects else self._suspects.add)(
                    message_id
                )
        for job in jobs:
            deliver(job, Answer(Lost(reason)))

    def _show(self, printed: Printed) -> None:
        if self._cluster.shows_output:
            show(printed)


@dataclass(frozen=True, slots=True)
class _Sent:
    """Jobs a worker has, and Ray's promise of their answers."""

    jobs: Sequence[Job]
    call: Any
