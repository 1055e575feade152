"""Client's half of central differential privacy, for legacy clients: clips what ``fit`` returns."""

from flwr.app.console_log import logger
from flwr.app.context import Context
from flwr.app.message import Message
from flwr.app.message_type import MessageType
from flwr.clientapp.typing import ClientAppCallable
from flwr.common import recorddict_compat as compat
from flwr.common.differential_privacy import compute_adaptive_clip_model_update
from flwr.common.differential_privacy_constants import KEY_CLIPPING_NORM, KEY_NORM_BIT
from flwr.common.parameter import ndarrays_to_parameters, parameters_to_ndarrays


def fixedclipping_mod(msg: Message, ctxt: Context, call_next: ClientAppCallable) -> Message:
    """Clip the update to the norm the server sent; messages other than ``train`` pass.

    Raises:
        KeyError: the server sent no norm.
        TypeError: the norm is no float.
    """
    return _clipping("fixedclipping_mod", msg, ctxt, call_next, with_norm_bit=False)


def adaptiveclipping_mod(msg: Message, ctxt: Context, call_next: ClientAppCallable) -> Message:
    """Clip like ``fixedclipping_mod``; the metrics tell whether it was needed.

    Raises:
        KeyError: the server sent no norm.
        TypeError: the norm is no float.
    """
    return _clipping("adaptiveclipping_mod", msg, ctxt, call_next, with_norm_bit=True)


def _clipping(
    mod: str, msg: Message, ctxt: Context, call_next: ClientAppCallable, *, with_norm_bit: bool
) -> Message:
    if msg.metadata.message_type != MessageType.TRAIN:
        return call_next(msg, ctxt)
    asked = compat.recorddict_to_fitins(msg.content, keep_input=True)
    if KEY_CLIPPING_NORM not in asked.config:
        raise KeyError(
            f"{mod} needs '{KEY_CLIPPING_NORM}' in the config of fit: wrap the server's strategy "
            "for client-side clipping"
        )
    norm = asked.config[KEY_CLIPPING_NORM]
    if not isinstance(norm, float):
        raise TypeError(f"'{KEY_CLIPPING_NORM}' is {norm!r}, it must be a float")
    before = parameters_to_ndarrays(asked.parameters)
    reply = call_next(msg, ctxt)
    if reply.has_error():
        return reply
    trained = compat.recorddict_to_fitres(reply.content, keep_input=True)
    after = parameters_to_ndarrays(trained.parameters)
    was_clipped = compute_adaptive_clip_model_update(after, before, norm)
    logger.info("%s: parameters are clipped by value: %.4f.", mod, norm)
    trained.parameters = ndarrays_to_parameters(after)
    if with_norm_bit:
        trained.metrics[KEY_NORM_BIT] = was_clipped
    reply.content = compat.fitres_to_recorddict(trained, keep_input=True)
    return reply
