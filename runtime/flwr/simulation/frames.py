"""What the run and its workers say to each other over their pipes.

Large arrays do not go through the pipes: they lie in shared memory, and a frame says where.
"""

import pickle
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

from flwr.app.metadata import Metadata
from flwr.simulation.arena import ArenaReader, ArenaWriter, Place
from flwr.simulation.backend import Job
from flwr.simulation.packing import Packed

_PROTOCOL: Final = pickle.HIGHEST_PROTOCOL
_PIPED_BELOW: Final = 65_536  # bytes; what is smaller is sooner copied than placed and read


class Sent(NamedTuple):
    """A ``Packed`` on its way: its buffers, or their place in an arena the other end reads."""

    pickle: bytes
    buffers: tuple[bytes, ...] = ()
    place: Place | None = None

    def receive(self, arena: ArenaReader) -> Packed:
        """Return what was sent."""
        buffers = self.buffers if self.place is None else arena.read(self.place)
        return Packed(self.pickle, buffers)


class Task(NamedTuple):
    """A job as a worker sees it."""

    metadata: Metadata
    content: int  # index among the batch's contents
    partition: int
    state: bytes | None


class Batch(NamedTuple):
    """Tasks to be executed one after the other, each answered by one frame."""

    contents: tuple[Sent, ...]
    tasks: tuple[Task, ...]
    finished: tuple[int, ...]  # places of replies that the run reads no more


class AnswerFrame(NamedTuple):
    """What an ``Employee`` answered to one task."""

    answer: Sent
    finished: tuple[int, ...]  # places of contents that this worker reads no more


def send(packed: Packed, arena: ArenaWriter) -> Sent:
    """Return ``packed`` to be encoded; what is large is placed in ``arena``."""
    if packed.buffers and packed.size >= _PIPED_BELOW:
        with suppress(OSError):  # no shared memory left: then through the pipe
            return Sent(packed.pickle, place=arena.write(packed.buffers))
    return Sent(packed.pickle, tuple(map(bytes, packed.buffers)))


def batch_of(
    jobs: Sequence[Job], lend: Callable[[Packed], Sent], finished: tuple[int, ...]
) -> Batch:
    """Return ``jobs`` with every content once."""
    indices: dict[Packed, int] = {}
    for job in jobs:
        indices.setdefault(job.content, len(indices))
    tasks = tuple(
        Task(job.metadata, indices[job.content], job.partition, job.state) for job in jobs
    )
    return Batch(tuple(map(lend, indices)), tasks, finished)


def encode(value: Any) -> bytes:
    """Return ``value`` as one frame."""
    return pickle.dumps(value, _PROTOCOL)


def decode(frame: bytes) -> Any:
    """Return what the other end encoded."""
    return pickle.loads(frame)  # noqa: S301  # from our own process, see ``packing``
