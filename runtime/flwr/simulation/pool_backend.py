"""The process pool: W workers for any number of virtual nodes, without a socket.

One thread per worker hands it a few jobs at a time and reads their answers as they come.  With a
worker that dies only the one message it was working on is lost; the rest of its batch goes to
others, and another worker takes its place.
"""

import logging
import os
from collections import deque
from collections.abc import Iterable
from typing import Final

from flwr.core.capacity import Machine
from flwr.core.clock import Clock
from flwr.shell.cpus import available_cpus
from flwr.shell.gpus import VISIBLE, available_gpus
from flwr.shell.memory import available_memory
from flwr.simulation.backend import Answer, Deliver, Job, Lost, Order, Plan
from flwr.simulation.capacity import plan_workers, share_out
from flwr.simulation.contents import Contents
from flwr.simulation.crew import Crew
from flwr.simulation.worker_process import WorkerLostError, WorkerProcess

log = logging.getLogger(__name__)

MAX_BATCH: Final = 32  # jobs handed to a worker at once; what is not begun stays movable
_SHARES: Final = 2  # batches per worker that a full queue is cut into, so that all end together
_GRACE_S: Final = 2.0  # for idle workers to run what their app does at exit
_THREADS: Final = "OMP_NUM_THREADS"
_LONGEST_WAIT_S: Final = 86_400.0  # poll(2) takes no more than 24 days


class PoolBackend:
    """A ``Backend`` of local processes.

    Raises:
        ImpossibleNeedsError: not even one ClientApp would fit; with the numbers.
        InvalidError: no positive number of workers is wanted.
    """

    def __init__(self, order: Order, clock: Clock) -> None:
        cpus, gpus = available_cpus(), available_gpus()
        machine = Machine(
            # Somebody's decision outweighs them: CPUs can be shared, nothing else can.
            cpus=max(cpus, order.needs.cpus * (order.workers or 0)),
            gpus=len(gpus),
            memory=available_memory(),
        )
        self._workers = plan_workers(
            order.needs, [machine], nodes=order.nodes, wanted=order.workers
        )
        self._gpus = share_out(gpus, order.needs.gpus, self._workers)
        self._plan = Plan(
            backend="pool", workers=self._workers, where="this machine", each=str(order.needs)
        )
        self._setup, self._clock, self._output = order.setup, clock, order.output
        # Else every worker would start as many threads for its arrays as there are CPUs.
        threads = str(max(cpus // self._workers, 1))
        self._env = {_THREADS: threads, **os.environ, **order.env}
        self._contents: Contents  # from the start on
        self._crew = Crew(self._plan.workers, "worker", clock, WorkerLostError, OSError)
        self._is_once_known = False
        self._busy: set[int] = set()  # numbers of threads that have jobs in hand
        self._live: dict[int, WorkerProcess] = {}

    @property
    def plan(self) -> Plan:
        """What runs where."""
        return self._plan

    @property
    def pids(self) -> list[int]:
        """The live workers' processes."""
        with self._crew.changed:
            return [worker.pid for worker in self._live.values()]

    @property
    def shared_bytes(self) -> int:
        """How much shared memory the contents of instructions take."""
        return self._contents.taken

    def start(self, deliver: Deliver) -> None:
        """Start the workers; they import the app while the ServerApp begins."""
        self._contents = Contents()
        self._crew.start(self._employ, deliver)

    def submit(self, jobs: Iterable[Job]) -> None:
        """Queue jobs; returns at once."""
        self._crew.submit(jobs)

    def close(self) -> None:
        """End the workers and wait until they are gone."""
        with self._crew.changed:
            self._crew.dismiss()
            for number in self._busy & self._live.keys():
                self._live[number].kill()
        self._crew.join()
        if self._crew.is_started:
            self._contents.close()

    def _employ(self, number: int, deliver: Deliver) -> None:
        """Start a worker and serve it until it dies or the run ends.

        Raises:
            WorkerLostError: it ended before it was ready.
            OSError: it could not be started.
        """
        worker = WorkerProcess(self._setup, self._env_of(number), self._contents, self._output)
        with self._crew.changed:
            self._live[number] = worker
            self._busy.add(number)  # while it imports the app there is nothing to wait for
            if self._crew.is_closing:
                worker.kill()
        try:
            worker.prepare()
            if worker.why_once is not None:
                self._note_once(worker.why_once)
                self._serve(number, worker, deliver, 1)
                return
            while self._serve(number, worker, deliver, MAX_BATCH):
                pass
        except _WorkerDiedError as lost:
            self._crew.note_loss("A worker %s, another takes its place", lost.cause)
        finally:
            with self._crew.changed:
                del self._live[number]
            worker.dismiss(_GRACE_S)

    def _env_of(self, number: int) -> dict[str, str]:
        """Return the environment of a worker, which sees its own share of the GPUs only."""
        gpus = self._gpus[number]
        return {**self._env, VISIBLE: ",".join(gpus)} if gpus else self._env

    def _serve(self, number: int, worker: WorkerProcess, deliver: Deliver, most: int) -> bool:
        """Give a worker its next jobs; tell whether there were some, or the run has ended."""
        jobs = self._next_batch(number, most)
        if not jobs:
            return False
        self._work_off(worker, jobs, deliver)
        return True

    def _work_off(self, worker: WorkerProcess, left: deque[Job], deliver: Deliver) -> None:
        """Have jobs executed by one worker; on its death charge only the one in its hands.

        Raises:
            _WorkerDiedError: it has to be replaced.
        """
        for job in [job for job in left if self._crew.life_left(job) <= 0]:
            left.remove(job)
            deliver(job, Answer.expired())
        if not left:
            return
        if not worker.is_alive:  # it died idle: no message is to blame
            self._crew.give_back(left)
            raise _WorkerDiedError(worker.bury())
        try:
            worker.send(left)
            while left:
                answer = self._await_answer(worker, left[0])
                deliver(left.popleft(), answer)
        except WorkerLostError as lost:
            if not self._crew.is_closing:
                deliver(left.popleft(), Answer(Lost(str(lost))))
                self._crew.give_back(left)
            raise _WorkerDiedError(lost) from lost

    def _await_answer(self, worker: WorkerProcess, job: Job) -> Answer:
        while (left := self._crew.life_left(job)) > 0:
            answer = worker.receive(min(left, _LONGEST_WAIT_S))
            if answer is not None:
                return answer
        worker.kill()
        raise WorkerLostError("was stopped: its message expired while it was at work")

    def _next_batch(self, number: int, most: int = MAX_BATCH) -> deque[Job]:
        """Wait for jobs; none says that the run has ended."""
        with self._crew.changed:
            self._busy.discard(number)
            if not self._crew.await_jobs():
                return deque()
            self._busy.add(number)
            queue = self._crew.queue
            size = max(1, min(most, len(queue) // (_SHARES * self._crew.size)))
            return deque(queue.popleft() for _ in range(min(size, len(queue))))

    def _note_once(self, why: str) -> None:
        with self._crew.changed:
            is_known, self._is_once_known = self._is_once_known, True
        if not is_known:
            log.info("Every message gets a new interpreter, a fork will not do: %s", why)


class _WorkerDiedError(Exception):
    """A worker that was ready has ended."""

    def __init__(self, cause: WorkerLostError) -> None:
        super().__init__(str(cause))
        self.cause = cause
