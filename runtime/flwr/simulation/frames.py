"""What the run and its workers say to each other over their pipes.

Large arrays do not go through the pipes: they lie in shared memory, and a frame says where.
"""

import os
import pickle
import struct
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

from flwr.app.metadata import Metadata
from flwr.simulation.arena import ArenaReader, ArenaWriter, Place
from flwr.simulation.backend import Job
from flwr.simulation.packing import Packed

_PROTOCOL: Final = pickle.HIGHEST_PROTOCOL
_LENGTH: Final = struct.Struct("<Q")
_READ_AT_ONCE: Final = 1_048_576  # bytes; room is made for them first
_CLOSED: Final = -1
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


class _End:
    """One end of a pipe; not safe for use by several threads."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def close(self) -> None:
        """Close this end, once."""
        descriptor, self._descriptor = self._descriptor, _CLOSED
        if descriptor != _CLOSED:
            os.close(descriptor)


class Inlet(_End):
    """Where values come out of a pipe."""

    def receive(self) -> Any:
        """Return the next value.

        Raises:
            EOFError: the other end was closed, in the middle of a value or before.
        """
        (size,) = _LENGTH.unpack(self._read(_LENGTH.size))
        return pickle.loads(self._read(size))  # noqa: S301  # from our own process, see ``packing``

    def _read(self, size: int) -> bytes:
        pieces = []
        while size:
            piece = os.read(self._descriptor, min(size, _READ_AT_ONCE))
            if not piece:
                raise EOFError
            pieces.append(piece)
            size -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


class Outlet(_End):
    """Where values go into a pipe."""

    def send(self, value: Any) -> None:
        """Write a value.

        Raises:
            BrokenPipeError: the other end was closed.
        """
        frame = pickle.dumps(value, _PROTOCOL)
        left = memoryview(_LENGTH.pack(len(frame)) + frame)
        while left := left[os.write(self._descriptor, left) :]:
            pass
