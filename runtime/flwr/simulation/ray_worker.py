"""A worker that Ray runs: on the side of the run a handle, on the other side a ClientApp.

Ray moves values by pickle between processes of this user, or of a cluster that is ours to use.
Large buffers go beside the pickle, into Ray's object store: a worker reads the model, and the run
reads the replies, from shared memory without a copy.
"""

import os
import pickle
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final
from weakref import WeakKeyDictionary

from flwr.app.console_log import configure_console
from flwr.app.metadata import Metadata
from flwr.core.capacity import AppNeeds
from flwr.fab.load import install
from flwr.shell.children import oom_kills
from flwr.simulation.backend import Job, Order, WorkerSetup
from flwr.simulation.employee import Employee
from flwr.simulation.packing import Packed
from flwr.simulation.ray_output import Output, Printed

SHARED_FROM: Final = 65_536  # bytes; less goes along with the call

Shipped = tuple[bytes, list[Any]]  # a ``Packed`` on its way: its pickle, its buffers
Task = tuple[Metadata, int, int, bytes | None]  # content is an index among those of the call


class RayWorkerLostError(Exception):
    """The worker has ended, or what it made has gone with its machine; the text says how."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What came of a call."""

    replies: Sequence[Packed]
    printed: Printed
    work_s: float  # in the worker


class ClientAppWorker:
    """The body of a worker: imports the app once, keeps it, answers batch after batch."""

    def __init__(self, setup: WorkerSetup, env: Mapping[str, str]) -> None:
        self._output = Output()
        configure_console()
        os.environ.update(env)
        sys.path += [folder for folder in setup.import_path if folder not in sys.path]
        if setup.bundle is not None:
            install(setup.bundle, "")
        self._employee = Employee.load(setup)

    def stand_by(self) -> Printed:
        """Return what the app printed while it was imported."""
        return self._output.take()

    def work(
        self, tasks: Sequence[Task], *contents: Shipped
    ) -> tuple[list[Shipped], Printed, float]:
        """Return the packed answers to some jobs, what was printed, the seconds they took."""
        started = time.perf_counter()
        unshipped = [_unship(content) for content in contents]
        answers = [
            self._employee.work(metadata, unshipped[index], partition, state)
            for metadata, index, partition, state in tasks
        ]
        work_s = time.perf_counter() - started
        return [_ship(answer) for answer in answers], self._output.take(), work_s


class Shelf:
    """The contents of instructions in Ray's object store, each once, for as long as it is used."""

    def __init__(self, ray: Any) -> None:
        self._ray = ray
        self._places: WeakKeyDictionary[Packed, Any] = WeakKeyDictionary()

    def place(self, content: Packed) -> Any:
        """Return what to give to a call: the content itself, or where it lies."""
        if content.size < SHARED_FROM:
            return _ship(content)
        if (place := self._places.get(content)) is None:
            place = self._places[content] = self._ray.put(_ship(content))
        return place


def actor_options(needs: AppNeeds) -> dict[str, Any]:
    """Return what Ray is asked to set aside for one ClientApp."""
    options: dict[str, Any] = {"num_cpus": needs.cpus, "num_gpus": needs.gpus}
    return options | ({"memory": needs.memory} if needs.memory else {})


class RayWorker:
    """One worker as the run sees it; starts at once, where there is or will be room for it."""

    def __init__(self, ray: Any, setup: Any, order: Order, shelf: Shelf) -> None:
        self._ray, self._shelf = ray, shelf
        self._stirred = threading.Event()  # it is ready, or it is to end
        self._oom_before = oom_kills()
        actor = ray.remote(ClientAppWorker).options(max_restarts=0, **actor_options(order.needs))
        self._actor = actor.remote(setup, dict(order.env))

    def prepare(self) -> Printed:
        """Wait until there is room for it and it has imported the app; return what that printed.

        Raises:
            RayWorkerLostError: it ended before.
        """
        ready = self._actor.stand_by.remote().future()
        ready.add_done_callback(lambda _: self._stirred.set())
        self._stirred.wait()  # not in Ray: who waits there for a machine that has gone waits on
        if not ready.done():
            raise RayWorkerLostError("was stopped")
        try:
            printed: Printed = ready.result()
        except self._ray.exceptions.RayError as cause:
            raise self._lost(cause) from cause
        return printed

    def send(self, jobs: Sequence[Job]) -> Any:
        """Hand over jobs, to be done after those it has; return what ``receive`` takes."""
        contents: dict[int, Any] = {}
        tasks: list[Task] = []
        for job in jobs:
            if id(job.content) not in contents:
                contents[id(job.content)] = self._shelf.place(job.content)
            index = list(contents).index(id(job.content))
            tasks.append((job.metadata, index, job.partition, job.state))
        return self._actor.work.remote(tasks, *contents.values())

    def receive(self, call: Any, timeout: float) -> Answered | None:
        """Return the answers to what was sent; None when they are not there in time.

        Raises:
            RayWorkerLostError: the worker has ended.
        """
        try:
            shipped, printed, work_s = self._ray.get(call, timeout=timeout)
        except self._ray.exceptions.GetTimeoutError:
            return None
        except self._ray.exceptions.RayError as cause:
            raise self._lost(cause) from cause
        return Answered([_unship(reply) for reply in shipped], printed, work_s)

    def _lost(self, cause: Exception) -> RayWorkerLostError:
        return RayWorkerLostError(_ending(cause, ran_out_of_memory=oom_kills() > self._oom_before))

    def kill(self) -> None:
        """End it; whoever waits for it is told that it is lost."""
        self._stirred.set()
        self._ray.kill(self._actor)


def _ship(packed: Packed) -> Shipped:
    return packed.pickle, [pickle.PickleBuffer(buffer) for buffer in packed.buffers]


def _unship(shipped: Shipped) -> Packed:
    """Return a value over the memory it has arrived in."""
    pickled, buffers = shipped
    return Packed(pickled, [memoryview(buffer) for buffer in buffers])


def _ending(cause: Exception, *, ran_out_of_memory: bool) -> str:
    """Return how a worker ended, in a line; Ray tells it in pages.

    Args:
        cause: what Ray raises.
        ran_out_of_memory: whether the kernel killed a process of this machine's for memory.
    """
    text = str(cause)
    if type(cause).__name__ == "OutOfMemoryError" or "memory running low" in text:
        return "ran out of memory"
    if "ray.kill" in text:
        return "was stopped"
    lines = [line.strip() for line in text.splitlines() if "exit detail:" in line]
    detail = lines[0].partition("exit detail:")[2].strip() if lines else ""
    detail = detail.partition("Some common causes")[0].strip(" .")
    if "connection error" in detail and ran_out_of_memory:  # of one that is killed Ray says no more
        return "was killed: it ran out of memory"
    return f"ended: {detail or text.splitlines()[0]}"
