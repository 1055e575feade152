"""What a ClientApp's own process does: take one message, let the app answer, give the reply back.

Whatever the app does wrong becomes an error reply here; only the death of the process is left to
the runner.
"""

import logging
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from flwr.app import Context, Message
from flwr.clientapp import ClientApp
from flwr.clientapp.answering import answer, answer_unloaded
from flwr.core.errors import FlwrError
from flwr.core.ids import ObjectId, RunId
from flwr.core.message import Delivery
from flwr.fab.load import install, load
from flwr.runner.app_caller import AppCaller
from flwr.runner.outcome import Outcome, Report, RunEndedError
from flwr.runner.transfer import Transfers
from flwr.wire.clients.appio import AppInputs, ClientAppIoClient
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


def run_imported(caller: Caller, app: ClientApp) -> Report:
    """Answer the one instruction this process was forked for, its app imported already.

    Raises:
        RunEndedError: the run has ended.
        FlwrError: the SuperNode could not be told.
    """
    return _Flow(AppCaller(caller)).run_with(app)


class _Flow:
    def __init__(self, caller: AppCaller) -> None:
        self._appio = ClientAppIoClient(caller)
        self._transfers = Transfers()

    def run_with(self, app: ClientApp) -> Report:
        inputs = self._appio.pull_inputs()
        message = self._receive(inputs.run.run_id)
        return self._finish(inputs, *answer(app, message, inputs.context, passing=_PASSING))

    def run(self) -> Report:
        inputs = self._appio.pull_inputs()
        run_id = inputs.run.run_id
        with ThreadPoolExecutor(1, thread_name_prefix="receive") as thread:
            receiving = thread.submit(self._receive, run_id)  # while the app is imported
            reply, context = _answer(inputs, receiving)
        return self._finish(inputs, reply, context)

    def _finish(self, inputs: AppInputs, reply: Message, context: Context) -> Report:
        self._send(inputs.run.run_id, reply)
        sys.stdout.flush()
        self._appio.push_outputs(context)
        return Report(Outcome.COMPLETED)

    def _receive(self, run_id: RunId) -> Message:
        delivery = self._appio.pull_message(run_id)

        def fetch(object_id: ObjectId) -> bytes:
            return self._appio.get_object(run_id, object_id)

        get = self._transfers.ahead(delivery.tree.walk(), fetch)
        message = inflate(delivery.envelope, delivery.tree, get)
        self._appio.confirm(run_id, delivery.envelope.message_id)
        return message

    def _send(self, run_id: RunId, reply: Message) -> None:
        parts = deflate(reply)
        pushed = self._appio.push_message(Delivery(parts.envelope, parts.tree))
        self._transfers.push(
            pushed.wanted,
            {key: source.make for key, source in parts.objects.items()},
            lambda key, data: self._appio.put_object(run_id, key, data),
        )


def _answer(inputs: AppInputs, receiving: "Future[Message]") -> tuple[Message, Context]:
    """Return the reply and the context to keep."""
    try:
        app = _load(inputs)
    except FlwrError as error:
        log.exception("ClientApp could not be loaded")
        return answer_unloaded(receiving.result(), error), inputs.context
    return answer(app, receiving.result(), inputs.context, passing=_PASSING)


def _load(inputs: AppInputs) -> ClientApp:
    if inputs.fab is None:
        raise FlwrError("the SuperNode sent no app bundle")
    app = install(inputs.fab.content, inputs.run.fab_hash)
    return load(app.manifest.clientapp, ClientApp)
