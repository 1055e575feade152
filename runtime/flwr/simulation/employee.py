"""The one who works in a worker, whichever backend runs it: a ClientApp and what it is asked."""

import logging
import pickle
from typing import Any, Final

from flwr.app import Context, Message, RecordDict
from flwr.app.message import restore
from flwr.app.metadata import Metadata
from flwr.clientapp import ClientApp
from flwr.clientapp.answering import answer, answer_unloaded
from flwr.core.errors import FlwrError
from flwr.fab.entry import EntryReference
from flwr.fab.load import load
from flwr.shell.memory import reuse_freed_memory
from flwr.simulation.backend import WorkerSetup
from flwr.simulation.packing import Packed, pack, unpack
from flwr.simulation.partitions import node_config

log = logging.getLogger(__name__)

_PROTOCOL: Final = pickle.HIGHEST_PROTOCOL


class Employee:
    """Imports the ClientApp, or finds out why it cannot be, and answers message after message."""

    why_once: str | None = None
    """Why its process must be replaced after one message; None: it keeps the app for all."""

    def __init__(self, setup: WorkerSetup) -> None:
        reuse_freed_memory()
        self._setup = setup
        self._app = _load(setup.app)

    def work(
        self, metadata: Metadata, content: Packed, partition: int, state: bytes | None
    ) -> Packed:
        """Return the packed answer to one job, for ``Answer.unpack``."""
        message = restore(metadata, content=unpack(content))
        if isinstance(self._app, FlwrError):
            return pack((answer_unloaded(message, self._app), None))
        reply, after = self._answer(self._app, message, partition, state)
        return pack((reply, None if after == state else after))

    def _answer(
        self, app: ClientApp, message: Message, partition: int, state: bytes | None
    ) -> tuple[Message, bytes | None]:
        context = Context(
            run_id=self._setup.run_id,
            node_id=message.metadata.dst_node_id,
            node_config=node_config(partition, self._setup.num_partitions),
            state=RecordDict() if state is None else _unpickle(state),
            run_config=dict(self._setup.run_config),
        )
        reply, after = answer(app, message, context)
        if state is None and not after.state:
            return reply, None
        return reply, pickle.dumps(after.state, _PROTOCOL)


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
