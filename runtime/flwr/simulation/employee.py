"""The one who works in a worker, whichever backend runs it: a ClientApp and what it is asked."""

import logging
import pickle
from typing import Any, Final, NamedTuple

from flwr.app import Context, Message, RecordDict
from flwr.app.message import restore
from flwr.app.metadata import Metadata
from flwr.clientapp import ClientApp
from flwr.clientapp.answering import answer_unloaded, reply_of
from flwr.core.allocator import reuse_freed_memory
from flwr.core.errors import FlwrError
from flwr.fab.entry import EntryReference
from flwr.fab.load import load
from flwr.simulation.backend import WorkerSetup
from flwr.simulation.packing import Packed, pack, unpack
from flwr.simulation.partitions import node_config

log = logging.getLogger(__name__)

_PROTOCOL: Final = pickle.HIGHEST_PROTOCOL


class Prepared(NamedTuple):
    """One job, as far as it goes without the app."""

    message: Message
    context: Context
    state: bytes | None


class Employee:
    """Answers message after message with a ClientApp, or with why there is none."""

    why_once: str | None = None
    """Why its process must be replaced after one message; None: it keeps the app for all."""

    def __init__(self, setup: WorkerSetup, app: ClientApp | FlwrError) -> None:
        self._setup, self._app = setup, app

    @classmethod
    def load(cls, setup: WorkerSetup) -> "Employee":
        """Return one that has imported the app, or knows why it cannot be."""
        reuse_freed_memory()
        return cls(setup, _load(setup.app))

    def work(
        self, metadata: Metadata, content: Packed, partition: int, state: bytes | None
    ) -> Packed:
        """Return the packed answer to one job, for ``Answer.unpack``."""
        return self.answer(self.prepare(metadata, unpack(content), partition, state))

    def prepare(
        self, metadata: Metadata, records: RecordDict, partition: int, state: bytes | None
    ) -> Prepared:
        """Return what the app is to be called with; it may change both."""
        context = Context(
            run_id=self._setup.run_id,
            node_id=metadata.dst_node_id,
            node_config=node_config(partition, self._setup.num_partitions),
            state=RecordDict() if state is None else _unpickle(state),
            run_config=dict(self._setup.run_config),
        )
        return Prepared(restore(metadata, content=records), context, state)

    def answer(self, job: Prepared) -> Packed:
        """Have the app called, and return the packed answer."""
        if isinstance(self._app, FlwrError):
            return pack((answer_unloaded(job.message, self._app), None))
        reply, is_done = reply_of(self._app, job.message, job.context)
        after = job.context.state
        if not is_done or (job.state is None and not after):
            return pack((reply, None))
        state = pickle.dumps(after, _PROTOCOL)
        return pack((reply, None if state == job.state else state))


def _load(app: EntryReference | bytes) -> ClientApp | FlwrError:
    try:
        found = load(app, ClientApp) if isinstance(app, EntryReference) else _unpickle(app)
    except FlwrError as error:
        log.exception("ClientApp could not be loaded")
        return error
    except Exception as error:
        log.exception("ClientApp could not be loaded")
        return FlwrError(f"Unable to load the ClientApp: {type(error).__name__}: {error}")
    assert isinstance(found, ClientApp)
    return found


def _unpickle(pickled: bytes) -> Any:
    return pickle.loads(pickled)  # noqa: S301  # from our own process, see ``packing``
