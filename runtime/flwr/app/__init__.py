"""Public values of an app: typed payloads, messages, the context.  Needs numpy and the core."""

from flwr.app.array import Array
from flwr.app.arrayrecord import ArrayRecord
from flwr.app.configrecord import ConfigRecord
from flwr.app.context import Context
from flwr.app.error import Error
from flwr.app.message import Message
from flwr.app.message_type import MessageType
from flwr.app.metadata import Metadata
from flwr.app.metricrecord import MetricRecord
from flwr.app.recorddict import RecordDict
from flwr.app.user_config import UserConfig, UserConfigValue

__all__ = [
    "Array",
    "ArrayRecord",
    "ConfigRecord",
    "Context",
    "Error",
    "Message",
    "MessageType",
    "Metadata",
    "MetricRecord",
    "RecordDict",
    "UserConfig",
    "UserConfigValue",
]
