"""Local differential privacy: clip the update and add noise before it leaves the client."""

import math

import numpy as np

from flwr.app.array import Array
from flwr.app.console_log import logger
from flwr.app.context import Context
from flwr.app.message import Message
from flwr.clientapp.mod.clipping import (
    PreconditionError,
    clip_update,
    refusal,
    require_one,
    require_update,
    snapshot,
)
from flwr.clientapp.typing import ClientAppCallable


class LocalDpMod:
    """Clips the update to ``clipping_norm`` and adds Gaussian noise to every array.

    The noise has standard deviation ``sensitivity * sqrt(2 ln(1.25 / delta)) / epsilon``.

    Args:
        clipping_norm: largest L2 norm of the update, positive.
        sensitivity: how far one client's update can move the result, not negative.
        epsilon: privacy budget, not negative.
        delta: probability that the budget is exceeded, not negative.

    Raises:
        ValueError: an argument is out of range.

    Source: Dwork and Roth, Foundations and Trends 2014, appendix A (the Gaussian mechanism).
    """

    def __init__(
        self,
        clipping_norm: float,
        sensitivity: float,
        epsilon: float,
        delta: float,
    ) -> None:
        if clipping_norm <= 0:
            raise ValueError(f"clipping_norm must be positive, got {clipping_norm}")
        for name, value in (("sensitivity", sensitivity), ("epsilon", epsilon), ("delta", delta)):
            if value < 0:
                raise ValueError(f"{name} must not be negative, got {value}")
        self.clipping_norm = clipping_norm
        self.sensitivity = sensitivity
        self.epsilon = epsilon
        self.delta = delta

    def __call__(self, msg: Message, ctxt: Context, call_next: ClientAppCallable) -> Message:
        """Return the reply with its only ArrayRecord clipped and blurred."""
        mod = type(self).__name__
        try:
            received = snapshot(require_one(mod, "ArrayRecord", msg.content.array_records))
            reply = call_next(msg, ctxt)
            if reply.has_error():
                return reply
            trained = require_update(mod, received, reply)
            clip_update(mod, received, trained, self.clipping_norm)
        except PreconditionError as broken:
            return refusal(msg, broken)
        logger.info("%s: parameters are clipped by value: %.4f.", mod, self.clipping_norm)
        spread = self.sensitivity * math.sqrt(2 * math.log(1.25 / self.delta)) / self.epsilon
        random = _new_generator()
        for name, array in trained.items():
            exact = array.numpy()
            noise = random.normal(0.0, spread, exact.shape)
            trained[name] = Array(np.asarray(exact + noise, dtype=exact.dtype))
        logger.info("%s: local DP noise with %.4f stddev added to parameters", mod, spread)
        return reply


def _new_generator() -> np.random.Generator | np.random.RandomState:
    """Return a source of noise that nobody else has.

    Not numpy's global one, whose noise follows from the app's seed, and none that is kept: workers
    of a simulation are copies of one process, and equal noise of all clients does not average out.
    """
    return np.random.default_rng()
