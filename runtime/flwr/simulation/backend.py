"""What executes the messages of virtual nodes: its jobs, its answers, and the interface between.

The grid does not know how workers run; a backend does not know nodes, rounds or waiting.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from flwr.app import Error, Message
from flwr.app.metadata import Metadata
from flwr.app.user_config import UserConfig
from flwr.core.capacity import AppNeeds
from flwr.core.ids import RunId
from flwr.core.message import ErrorCode
from flwr.fab.entry import EntryReference
from flwr.simulation.packing import Packed, unpack


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """One instruction, and what its node brings along."""

    metadata: Metadata
    content: Packed  # a RecordDict; one object for all jobs that share it
    partition: int
    state: bytes | None  # a pickled RecordDict; None: empty
    expires_at: float  # Unix seconds


@dataclass(frozen=True, slots=True)
class Lost:
    """A worker ended with the job in its hands: the job may be submitted again."""

    reason: str


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a job."""

    reply: Message | Error | Lost  # an Error: the backend cannot have the job executed
    state: bytes | None = None  # what the node keeps; None: what it had

    @classmethod
    def unpack(cls, packed: Packed) -> "Answer":
        """Return what an ``Employee`` answered, or that it cannot be read here."""
        try:
            reply, state = unpack(packed)
        except Exception as cause:  # noqa: BLE001  # whatever an app's class raises there
            return cls.crashed(f"the reply cannot be read: {cause!r}")
        if not isinstance(reply, Message) or not isinstance(state, bytes | None):
            return cls.crashed(f"the worker answered with {type(reply).__name__}")
        return cls(reply, state)

    @classmethod
    def crashed(cls, reason: str) -> "Answer":
        """Return that a job cannot be executed."""
        return cls(Error(ErrorCode.CLIENT_APP_CRASHED, reason))

    @classmethod
    def expired(cls) -> "Answer":
        """Return that a job has expired before a worker had it."""
        return cls(Error(ErrorCode.MESSAGE_UNAVAILABLE, "The message has expired."))


Deliver = Callable[[Job, Answer], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSetup:
    """What a worker needs to know once, before its first job."""

    app: EntryReference | bytes  # where to import the ClientApp from, or itself, by cloudpickle
    run_id: RunId
    num_partitions: int
    run_config: UserConfig = field(default_factory=dict)
    import_path: tuple[str, ...] = ()
    starts_fresh: bool = False  # a process for every message, forked from one that imported the app
    bundle: bytes | None = None  # the app, for workers on another machine; None: no such thing


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What a backend is made from: the run, and what somebody wants of its workers."""

    setup: WorkerSetup
    nodes: int
    needs: AppNeeds = field(default_factory=AppNeeds)
    workers: int | None = None  # None: as many as fit
    env: Mapping[str, str] = field(default_factory=dict)  # workers get it on top of ours
    init_args: Mapping[str, Any] = field(default_factory=dict)  # a cluster's, such as its address
    output: int | None = None  # descriptor that processes of this machine print to; None: as we do


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What will run where, known before anything is started."""

    backend: str
    workers: int  # at most so many jobs run at the same time
    where: str  # for a person: "this machine", "3 machines of the Ray cluster at ..."
    each: str  # for a person: "1 CPU", "2 CPUs, half a GPU"


class Backend(Protocol):
    """Workers that execute jobs, any number of them at a time.

    To write one:

    *Construction* takes an ``Order`` and a ``Clock`` and is the preflight: it looks at what there
    is, decides ``plan``, and raises ``ImpossibleNeedsError`` with the numbers when not even one
    ClientApp fits.  It starts no worker.  ``backends.make_backend`` knows the class by name.

    *Jobs* that share a content share the ``Packed`` object: whoever needs it elsewhere (shared
    memory, an object store) moves it once, notes where under the object itself in a
    ``WeakKeyDictionary``, and frees that place with it.  In a worker, ``Employee.work``
    executes jobs; it never raises.  What it returns is packed, too, and unpacked over the memory it
    arrives in, without a copy.

    *Every submitted job is delivered exactly once*, as soon as its answer is there: a ``Message``
    from the ClientApp; an ``Error`` if the job cannot be executed (it expired in the queue, no
    worker can be started); ``Lost`` if its worker died or had to be stopped with the job in its
    hands.  Whether that is tried again is not the backend's business.  Jobs a dead worker had not
    begun were not harmed: the backend gives them to another and says nothing.  A job still at work
    when it expires is stopped, if need be with its worker, and delivered as ``Lost``.

    *Order*: none.  The engine sorts replies, keeps nodes' states, and never has two jobs of one
    node out at the same time.
    """

    @property
    def plan(self) -> Plan:
        """What runs where."""
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
        """End the workers, at once; what they had in hand is never delivered.

        When it returns, no process and no shared memory of this backend is left.
        """
        ...
