"""What the run and its workers say to each other over their pipes: pickles in numbered pairs.

Both ends are this user's own processes running the same app, so a pickle crosses no trust boundary.
The parts of a batch that its jobs share, above all the round's model, travel once per batch.
"""

import pickle
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from flwr.app import Error, Message
from flwr.app.metadata import Metadata
from flwr.simulation.backend import Answer, Job

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

    contents: tuple[bytes, ...]
    tasks: tuple[Task, ...]


def batch_of(jobs: Sequence[Job]) -> Batch:
    """Return ``jobs`` with every content once."""
    indices: dict[int, int] = {}
    contents: list[bytes] = []
    for job in jobs:
        if id(job.content) not in indices:
            indices[id(job.content)] = len(contents)
            contents.append(job.content)
    tasks = tuple(
        Task(job.metadata, indices[id(job.content)], job.partition, job.state) for job in jobs
    )
    return Batch(tuple(contents), tasks)


def pack(value: Any) -> bytes:
    """Return ``value`` as one frame."""
    return pickle.dumps(value, _PROTOCOL)


def unpack(frame: bytes) -> Any:
    """Return what the other end packed."""
    return pickle.loads(frame)  # noqa: S301  # from our own process, see above


def unpack_answer(frame: bytes) -> Answer:
    """Return a worker's answer.

    Raises:
        ValueError: the frame holds something else, or cannot be read here.
    """
    try:
        reply, state = unpack(frame)
    except Exception as cause:
        raise ValueError(f"the reply cannot be read: {cause!r}") from cause
    if not isinstance(reply, Message | Error) or not isinstance(state, bytes | None):
        raise ValueError(f"the worker answered with {type(reply).__name__}")  # noqa: TRY004
    return Answer(reply, state)
