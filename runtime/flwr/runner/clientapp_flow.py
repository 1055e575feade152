"""What a ClientApp's own process does: take one message, let the app answer, give the reply back.

Whatever the app does wrong becomes an error reply here; only the death of the process is left to
the runner.
"""

import logging
from collections.abc import Sequence
from functools import cached_property, partial
from typing import Final

from flwr.app import Context, Message, depot
from flwr.app.depot import Copy
from flwr.app.parts import Place
from flwr.clientapp import ClientApp
from flwr.clientapp.answering import answer, answer_unloaded
from flwr.core.errors import FlwrError
from flwr.core.ids import RunId
from flwr.core.message import Delivery
from flwr.fab.load import install, load
from flwr.runner.app_caller import AppCaller
from flwr.runner.large import LargeMessages
from flwr.runner.outcome import Outcome, Report, RunEndedError
from flwr.wire.clients.appio import ClientAppIoClient, Taken
from flwr.wire.objects import deflate, inflate
from flwr.wire.transport import Caller

log = logging.getLogger(__name__)

_PASSING: Final = (RunEndedError,)


def run_clientapp(caller: Caller) -> Report:
    """Answer the one instruction this process was started for.

    Raises:
        RunEndedError: the run has ended.
        FlwrError: the SuperNode could not be told.
    """
    return _Flow(AppCaller(caller)).run()


def run_imported(caller: Caller, app: ClientApp, taken: bytes) -> Report:
    """Answer the one instruction this process was forked for, its app imported already.

    Args:
        caller: the pipe.
        app: whom to ask.
        taken: what it is asked, as its runner would say it; empty: that is still to be asked for.

    Raises:
        RunEndedError: the run has ended.
        FlwrError: the SuperNode could not be told.
    """
    return _Flow(AppCaller(caller)).run(app, taken)


class _Flow:
    def __init__(self, caller: AppCaller) -> None:
        self._caller = caller
        self._appio = ClientAppIoClient(caller)

    def run(self, imported: ClientApp | None = None, came_along: bytes = b"") -> Report:
        taken = self._appio.take(came_along)
        message = self._receive(taken.run_id, taken.instruction)
        depot.begin(partial(self._deposit, taken.run_id))
        try:
            finish = self._finish(*_answer(imported, taken, message))
        finally:
            depot.end()
        return Report(Outcome.COMPLETED, finish=finish)

    def _receive(self, run_id: RunId, delivery: Delivery) -> Message:
        if delivery.is_whole:
            get = delivery.contents.__getitem__  # by their true ids
            return inflate(delivery.envelope, delivery.tree, get, is_verified=True)
        message = self._large.receive(run_id, delivery)
        self._appio.confirm(run_id, delivery.envelope.message_id)
        return message

    def _finish(self, reply: Message, context: Context) -> bytes:
        """Return what is left to be given back, by the runner: nobody here waits for that."""
        parts = deflate(reply)
        delivery = parts.delivery()
        if not delivery.is_whole:
            run_id = parts.envelope.run_id
            pushed = self._appio.push_message(delivery)
            self._large.push(run_id, pushed.wanted, parts.objects)
        return self._appio.finished(context, delivery if delivery.is_whole else None)

    def _deposit(self, run_id: RunId, parts: Sequence[Place]) -> Copy | None:
        return self._large.deposit(run_id, parts)

    @cached_property
    def _large(self) -> LargeMessages:
        """Which learns what its daemon can do."""
        return LargeMessages(self._caller, self._appio)


def _answer(imported: ClientApp | None, taken: Taken, message: Message) -> tuple[Message, Context]:
    """Return the reply and the context to keep."""
    try:
        app = _load(taken) if imported is None else imported
    except FlwrError as error:
        log.exception("ClientApp could not be loaded")
        return answer_unloaded(message, error), taken.context
    return answer(app, message, taken.context, passing=_PASSING)


def _load(taken: Taken) -> ClientApp:
    if taken.fab is None:
        raise FlwrError("the SuperNode sent no app bundle")
    app = install(taken.fab.content, taken.fab_hash)
    return load(app.manifest.clientapp, ClientApp)
