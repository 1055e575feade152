"""Local differential privacy for legacy clients."""

import math

from flwr.app.console_log import logger
from flwr.app.context import Context
from flwr.app.message import Message
from flwr.app.message_type import MessageType
from flwr.clientapp.mod import localdp_mod
from flwr.clientapp.typing import ClientAppCallable
from flwr.common import recorddict_compat as compat
from flwr.common.differential_privacy import (
    add_localdp_gaussian_noise_to_params,
    compute_clip_model_update,
)
from flwr.common.parameter import ndarrays_to_parameters, parameters_to_ndarrays


class LocalDpMod(localdp_mod.LocalDpMod):
    """Clips what ``fit`` returns and adds noise; arguments as in ``flwr.clientapp.mod``."""

    def __call__(self, msg: Message, ctxt: Context, call_next: ClientAppCallable) -> Message:
        """Return the reply, blurred; messages other than ``train`` pass."""
        if msg.metadata.message_type != MessageType.TRAIN:
            return call_next(msg, ctxt)
        asked = compat.recorddict_to_fitins(msg.content, keep_input=True)
        before = parameters_to_ndarrays(asked.parameters)
        reply = call_next(msg, ctxt)
        if reply.has_error():
            return reply
        trained = compat.recorddict_to_fitres(reply.content, keep_input=True)
        after = parameters_to_ndarrays(trained.parameters)
        compute_clip_model_update(after, before, self.clipping_norm)
        logger.info("LocalDpMod: parameters are clipped by value: %.4f.", self.clipping_norm)
        spread = self.sensitivity * math.sqrt(2 * math.log(1.25 / self.delta)) / self.epsilon
        trained.parameters = add_localdp_gaussian_noise_to_params(
            ndarrays_to_parameters(after), self.sensitivity, self.epsilon, self.delta
        )
        logger.info("LocalDpMod: local DP noise with %.4f stddev added to parameters", spread)
        reply.content = compat.fitres_to_recorddict(trained, keep_input=True)
        return reply
