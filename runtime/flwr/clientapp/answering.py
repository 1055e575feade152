"""One message, one answer: a ClientApp called so that its failures become error replies.

Every engine answers through here, so that an app sees and sends the same in each of them.
"""

import copy
import logging
from typing import Final

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp.client_app import ClientApp
from flwr.core.errors import FlwrError
from flwr.core.message import ErrorCode

log = logging.getLogger(__name__)

_NOTHING: Final[tuple[type[BaseException], ...]] = ()


def answer(
    app: ClientApp,
    message: Message,
    context: Context,
    *,
    passing: tuple[type[BaseException], ...] = _NOTHING,
) -> tuple[Message, Context]:
    """Return the reply and the context to keep: after a failure, the one from before.

    Args:
        app: the ClientApp.
        message: the instruction.
        context: what the node keeps; the app may change it.
        passing: exceptions that are not the app's failures, such as the end of its run.
    """
    before = _copied(context)
    reply, is_done = reply_of(app, message, context, passing=passing)
    return reply, context if is_done else before


def reply_of(
    app: ClientApp,
    message: Message,
    context: Context,
    *,
    passing: tuple[type[BaseException], ...] = _NOTHING,
) -> tuple[Message, bool]:
    """Return the reply, and whether the app made it: else its changes to the context do not count.

    See ``answer``.
    """
    try:
        return _call(app, message, context), True
    except passing:
        raise
    except BaseException as error:  # also SystemExit: a message must never go unanswered
        log.exception("ClientApp raised an exception")
        failure = Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, f"{type(error)}:<'{error}'>")
        return Message(failure, reply_to=message), False


def answer_unloaded(message: Message, why: FlwrError) -> Message:
    """Return the reply of a ClientApp that cannot be loaded."""
    return Message(Error(ErrorCode.LOAD_CLIENT_APP_EXCEPTION, why.message), reply_to=message)


def _copied(context: Context) -> Context:
    """Return a copy that the app cannot change; arrays are shared, their bytes never change."""
    return Context(
        run_id=context.run_id,
        node_id=context.node_id,
        node_config=dict(context.node_config),
        state=copy.deepcopy(context.state) if context.state else RecordDict(),
        run_config=dict(context.run_config),
    )


def _call(app: ClientApp, message: Message, context: Context) -> Message:
    asked = message.metadata.message_id
    reply: object = app(message, context)
    if not isinstance(reply, Message):
        raise TypeError(f"the ClientApp returned {type(reply).__name__}, it must return a Message")
    if reply.metadata.reply_to_message_id != asked:
        raise ValueError("the ClientApp returned a Message that does not reply to its instruction")
    return reply
