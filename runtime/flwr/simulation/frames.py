"""What the run and its workers say to each other over their pipes.

The parts of a batch that its jobs share, above all the round's model, travel once per batch.
"""

import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from flwr.app.metadata import Metadata
from flwr.simulation.backend import Job
from flwr.simulation.packing import Packed

_PROTOCOL: Final = pickle.HIGHEST_PROTOCOL


@dataclass(frozen=True, slots=True)
class Task:
    """A job as a worker sees it."""

    metadata: Metadata
    content: int  # index among the batch's contents
    partition: int
    state: bytes | None


@dataclass(frozen=True, slots=True)
class Batch:
    """Tasks to be executed one after the other, each answered by one frame."""

    contents: tuple[Packed, ...]
    tasks: tuple[Task, ...]


def batch_of(jobs: Sequence[Job]) -> Batch:
    """Return ``jobs`` with every content once."""
    indices: dict[int, int] = {}
    contents: list[Packed] = []
    for job in jobs:
        if id(job.content) not in indices:
            indices[id(job.content)] = len(contents)
            contents.append(inline(job.content))
    tasks = tuple(
        Task(job.metadata, indices[id(job.content)], job.partition, job.state) for job in jobs
    )
    return Batch(tuple(contents), tasks)


def inline(packed: Packed) -> Packed:
    """Return ``packed`` with bytes that a pipe can carry."""
    return Packed(packed.pickle, [bytes(buffer) for buffer in packed.buffers])


def encode(value: Any) -> bytes:
    """Return ``value`` as one frame."""
    return pickle.dumps(value, _PROTOCOL)


def decode(frame: bytes) -> Any:
    """Return what the other end encoded."""
    return pickle.loads(frame)  # noqa: S301  # from our own process, see ``packing``
