"""What the differential privacy mods demand of messages, and the clipping they have in common."""

import math
from typing import TypeVar

from flwr.app.arrayrecord import ArrayRecord
from flwr.app.checkeddict import CheckedDict
from flwr.app.clipping import scale_update, update_norm
from flwr.app.console_log import logger
from flwr.app.error import Error
from flwr.app.message import Message
from flwr.core.message import ErrorCode

R = TypeVar("R")


class PreconditionError(Exception):
    """A message lacks what a mod needs."""


def refusal(message: Message, broken: PreconditionError) -> Message:
    """Return the error reply that says which precondition of a mod was broken."""
    logger.error("%s", broken)
    return Message(Error(ErrorCode.MOD_FAILED_PRECONDITION, str(broken)), reply_to=message)


def require_one(mod: str, kind: str, records: CheckedDict[str, R]) -> R:
    """Return the only record of its kind.

    Raises:
        PreconditionError: there are more, or none.
    """
    if len(records) != 1:
        raise PreconditionError(
            f"{mod} expects exactly one {kind}, but found {len(records)} {kind}(s).",
        )
    return next(iter(records.values()))


def snapshot(received: ArrayRecord) -> ArrayRecord:
    """Return the same arrays in objects of their own: the app may change or empty what it got."""
    return ArrayRecord(dict(received))


def require_update(mod: str, received: ArrayRecord, reply: Message) -> ArrayRecord:
    """Return the reply's arrays if they are the received ones with other values.

    Raises:
        PreconditionError: not exactly one ArrayRecord, or names or shapes differ.
    """
    trained = require_one(mod, "ArrayRecord", reply.content.array_records)
    if list(trained) != list(received):
        raise PreconditionError(
            f"{mod} expects the reply's ArrayRecord to have the received keys {list(received)}, "
            f"but found {list(trained)}.",
        )
    for name, array in trained.items():
        if array.shape != received[name].shape:
            raise PreconditionError(
                f"{mod} expects array '{name}' of the reply to have shape "
                f"{received[name].shape}, but found {array.shape}.",
            )
    return trained


def clip_update(mod: str, received: ArrayRecord, trained: ArrayRecord, norm: float) -> bool:
    """Scale the update that is in ``trained`` down to ``norm``, in place.

    Returns:
        True if it was longer, so that it had to be.

    Raises:
        PreconditionError: the update holds NaN or an infinite number, which no scaling tames.
    """
    old = {name: array.numpy() for name, array in received.items()}
    length = update_norm(old, trained)
    if not math.isfinite(length):
        raise PreconditionError(f"{mod} cannot clip an update that holds NaN or infinite numbers.")
    if length > norm:
        scale_update(old, trained, norm / length)
    return length > norm
