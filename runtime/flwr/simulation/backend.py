"""What executes the messages of virtual nodes: its jobs, its answers, and the interface between.

The grid does not know how workers run; a backend does not know nodes, rounds or waiting.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from flwr.app import Error, Message
from flwr.app.metadata import Metadata
from flwr.app.user_config import UserConfig
from flwr.core.ids import RunId
from flwr.fab.entry import EntryReference


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """One instruction, and what its node brings along."""

    metadata: Metadata
    content: bytes  # a pickled RecordDict; one object for all jobs that share it
    partition: int
    state: bytes | None  # a pickled RecordDict; None: empty
    expires_at: float  # Unix seconds


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a job."""

    reply: Message | Error  # an Error: the backend could not have the job executed
    state: bytes | None = None  # what the node keeps; None: what it had


Deliver = Callable[[Job, Answer], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSetup:
    """What a worker needs to know once, before its first job."""

    app: EntryReference | bytes  # where to import the ClientApp from, or itself, by cloudpickle
    run_id: RunId
    num_partitions: int
    run_config: UserConfig = field(default_factory=dict)
    import_path: tuple[str, ...] = ()


class Backend(Protocol):
    """Workers that execute jobs, any number of them at a time."""

    @property
    def workers(self) -> int:
        """How many jobs run at the same time."""
        ...

    def start(self, deliver: Deliver) -> None:
        """Start the workers.

        Args:
            deliver: called once for every submitted job, from any thread, never from ``submit``.
        """
        ...

    def submit(self, jobs: Iterable[Job]) -> None:
        """Have jobs executed, in no order; returns at once."""
        ...

    def close(self) -> None:
        """End the workers, at once; what they had in hand is never delivered."""
        ...
