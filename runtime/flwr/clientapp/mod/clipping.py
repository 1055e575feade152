"""Clipping a client's update to a norm, and what the differential privacy mods demand of messages.

Source of the clipping rule: McMahan et al., ICLR 2018, arXiv:1710.06963.
"""

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from flwr.app.array import Array
from flwr.app.arrayrecord import ArrayRecord
from flwr.app.checkeddict import CheckedDict
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


def clip_update(received: ArrayRecord, trained: ArrayRecord, norm: float) -> bool:
    """Replace, in ``trained``, each array x by r + (x - r) * min(1, norm / ||x - r||).

    The norm is the L2 norm over all arrays together; r is the received array.

    Returns:
        True if the update was longer than ``norm`` and therefore scaled down.
    """
    updates = {name: _difference(trained[name], received[name]) for name in trained}
    length = float(np.sqrt(sum(float(np.linalg.norm(u)) ** 2 for u in updates.values())))
    factor = min(1.0, norm / length) if length else 1.0
    for name in trained:
        trained[name] = Array(np.asarray(received[name].numpy() + updates.pop(name) * factor))
    return factor < 1.0


def _difference(new: Array, old: Array) -> NDArray[Any]:
    return np.asarray(new.numpy() - old.numpy())
