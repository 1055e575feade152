"""Constants that legacy apps import from here."""

from typing import Final

from flwr.app.array import NUMPY_STYPE
from flwr.app.message_type import MessageType, MessageTypeLegacy
from flwr.core.ids import SUPERLINK_NODE
from flwr.core.limits import DEFAULT_TTL_S, MAX_RPC_BYTES
from flwr.core.message import ErrorCode

__all__ = [
    "DEFAULT_TTL",
    "GRPC_MAX_MESSAGE_LENGTH",
    "NUM_PARTITIONS_KEY",
    "PARTITION_ID_KEY",
    "SUPERLINK_NODE_ID",
    "ErrorCode",
    "MessageType",
    "MessageTypeLegacy",
    "SType",
    "Status",
    "SubStatus",
]

DEFAULT_TTL: Final = int(DEFAULT_TTL_S)
"""Seconds for which a message counts unless its sender says otherwise."""

GRPC_MAX_MESSAGE_LENGTH: Final = MAX_RPC_BYTES
NUM_PARTITIONS_KEY: Final = "num-partitions"
PARTITION_ID_KEY: Final = "partition-id"
SUPERLINK_NODE_ID: Final = int(SUPERLINK_NODE)


class SType:
    """How the bytes of an Array were written."""

    NUMPY: Final = NUMPY_STYPE


class Status:
    """Where a run stands."""

    PENDING: Final = "pending"
    STARTING: Final = "starting"
    RUNNING: Final = "running"
    FINISHED: Final = "finished"


class SubStatus:
    """How a finished run ended."""

    COMPLETED: Final = "completed"
    FAILED: Final = "failed"
    STOPPED: Final = "stopped"
