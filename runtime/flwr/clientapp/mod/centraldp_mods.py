"""Client's half of central differential privacy: clip the update the server will add noise to."""

from flwr.app.arrayrecord import ArrayRecord
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

CLIPPING_NORM_KEY = "clipping_norm"
"""Set by the strategy wrapper in the ConfigRecord it sends."""

NORM_BIT_KEY = "norm_bit"
"""Metric of the reply: 1 if the update was scaled down, else 0."""


def fixedclipping_mod(msg: Message, ctxt: Context, call_next: ClientAppCallable) -> Message:
    """Clip the update to the norm the server sent; for fixed client-side clipping.

    A message without exactly one ArrayRecord and one ConfigRecord holding ``clipping_norm``, or a
    reply whose arrays do not match, gives an error reply.
    """
    return _clipping("fixedclipping_mod", msg, ctxt, call_next, with_norm_bit=False)


def adaptiveclipping_mod(msg: Message, ctxt: Context, call_next: ClientAppCallable) -> Message:
    """Clip like ``fixedclipping_mod`` and tell the server, in the metrics, whether it was needed.

    The reply must hold exactly one MetricRecord.
    """
    return _clipping("adaptiveclipping_mod", msg, ctxt, call_next, with_norm_bit=True)


def _clipping(
    mod: str,
    msg: Message,
    ctxt: Context,
    call_next: ClientAppCallable,
    *,
    with_norm_bit: bool,
) -> Message:
    try:
        received, norm = _require_instruction(mod, msg)
        reply = call_next(msg, ctxt)
        if reply.has_error():
            return reply
        trained = require_update(mod, received, reply)
        metrics = reply.content.metric_records
        metric_record = require_one(mod, "MetricRecord", metrics) if with_norm_bit else None
        was_clipped = clip_update(mod, received, trained, norm)
    except PreconditionError as broken:
        return refusal(msg, broken)
    what = "ndarrays" if with_norm_bit else "parameters"
    logger.info("%s: %s are clipped by value: %.4f.", mod, what, norm)
    if metric_record is not None:
        metric_record[NORM_BIT_KEY] = int(was_clipped)
    return reply


def _require_instruction(mod: str, msg: Message) -> tuple[ArrayRecord, float]:
    received = require_one(mod, "ArrayRecord", msg.content.array_records)
    config = require_one(mod, "ConfigRecord", msg.content.config_records)
    if CLIPPING_NORM_KEY not in config:
        raise PreconditionError(
            f"{mod} requires the key '{CLIPPING_NORM_KEY}' in the ConfigRecord, but it was not "
            "found. Wrap the strategy of the ServerApp for client-side clipping.",
        )
    norm = config[CLIPPING_NORM_KEY]
    if not isinstance(norm, int | float) or not norm > 0:
        raise PreconditionError(
            f"{mod} requires a positive number as '{CLIPPING_NORM_KEY}', but found {norm!r}.",
        )
    return snapshot(received), float(norm)
