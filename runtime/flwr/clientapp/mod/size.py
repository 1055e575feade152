"""Mods that log how much a message carries in either direction; error replies carry nothing."""

from math import prod

from flwr.app.array import NUMPY_STYPE, Array
from flwr.app.console_log import logger
from flwr.app.context import Context
from flwr.app.message import Message
from flwr.clientapp.typing import ClientAppCallable


def message_size_mod(msg: Message, ctxt: Context, call_next: ClientAppCallable) -> Message:
    """Log the bytes of all records, incoming then outgoing."""
    logger.info("Incoming message size: %i bytes", _size_bytes(msg))
    reply = call_next(msg, ctxt)
    logger.info("Outgoing message size: %i bytes", _size_bytes(reply))
    return reply


def arrays_size_mod(msg: Message, ctxt: Context, call_next: ClientAppCallable) -> Message:
    """Log elements and bytes of every ArrayRecord, and the total, incoming then outgoing."""
    _log_arrays("Incoming", msg, done="received")
    reply = call_next(msg, ctxt)
    _log_arrays("Outgoing", reply, done="sent")
    return reply


def _size_bytes(message: Message) -> int:
    if not message.has_content():
        return 0
    return sum(record.count_bytes() for record in message.content.values())


def _log_arrays(direction: str, message: Message, *, done: str) -> None:
    records = message.content.array_records if message.has_content() else {}
    sizes = {
        name: {
            "elements": sum(map(_count_elements, record.values())),
            "bytes": record.count_bytes(),
        }
        for name, record in records.items()
    }
    if sizes:
        logger.info("%s `ArrayRecord` size statistics:", direction)
        logger.info("%s", sizes)
    total_bytes = sum(size["bytes"] for size in sizes.values())
    logger.info("Total array elements %s: %i bytes", done, total_bytes)


def _count_elements(array: Array) -> int:
    if not array.dtype and array.stype == NUMPY_STYPE:  # of the legacy API: only the bytes know
        return array.numpy().size
    return prod(array.shape)
