"""Types of the legacy API: what a legacy client is asked and what it answers."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from flwr.app.configrecord import ConfigRecordValues, ConfigScalar
from flwr.app.metricrecord import MetricRecordValues, MetricScalar
from flwr.app.user_config import UserConfig, UserConfigValue

if TYPE_CHECKING:
    from flwr.serverapp.exception import RunNotRunningException
    from flwr.serverapp.run_info import Run, RunStatus

__all__ = [
    "ClientMessage",
    "Code",
    "Config",
    "ConfigRecordValues",
    "ConfigScalar",
    "ConfigScalarList",
    "DisconnectRes",
    "EvaluateIns",
    "EvaluateRes",
    "FitIns",
    "FitRes",
    "GetParametersIns",
    "GetParametersRes",
    "GetPropertiesIns",
    "GetPropertiesRes",
    "MetricRecordValues",
    "MetricScalar",
    "MetricScalarList",
    "Metrics",
    "MetricsAggregationFn",
    "NDArray",
    "NDArrayFloat",
    "NDArrayInt",
    "NDArrays",
    "Parameters",
    "Properties",
    "ReconnectIns",
    "Run",
    "RunNotRunningException",
    "RunStatus",
    "Scalar",
    "ServerMessage",
    "Status",
    "UserConfig",
    "UserConfigValue",
    "Value",
]

_OF_SERVERS: Final = {
    "Run": "flwr.serverapp.run_info",
    "RunNotRunningException": "flwr.serverapp.exception",
    "RunStatus": "flwr.serverapp.run_info",
}


def __getattr__(name: str) -> Any:
    """Load what only servers use when it is used: clients need no strategies."""
    if name in _OF_SERVERS:
        return getattr(import_module(_OF_SERVERS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


NDArray = npt.NDArray[Any]
NDArrayInt = npt.NDArray[np.int_]
NDArrayFloat = npt.NDArray[np.float64]
NDArrays = list[NDArray]

Scalar = bool | bytes | float | int | str
"""A value of a configuration or of metrics."""

MetricScalarList = list[int] | list[float]
ConfigScalarList = MetricScalarList | list[str] | list[bytes] | list[bool]
Value = Scalar | ConfigScalarList

Metrics = dict[str, Scalar]
MetricsAggregationFn = Callable[[list[tuple[int, Metrics]]], Metrics]
"""Folds (number of examples, metrics) of the clients."""

Config = dict[str, Scalar]
Properties = dict[str, Scalar]


class Code(Enum):
    """How a client got on with what it was asked."""

    OK = 0
    GET_PROPERTIES_NOT_IMPLEMENTED = 1
    GET_PARAMETERS_NOT_IMPLEMENTED = 2
    FIT_NOT_IMPLEMENTED = 3
    EVALUATE_NOT_IMPLEMENTED = 4


@dataclass
class Status:
    """A code and the same in words."""

    code: Code
    message: str


@dataclass
class Parameters:
    """A model: one byte string per tensor, all written the same way.

    Attributes:
        tensors: in the order of the model's arrays.
        tensor_type: how they were written; ``numpy.ndarray`` means ``.npy`` files.
    """

    tensors: list[bytes]
    tensor_type: str


@dataclass
class GetParametersIns:
    """Asks a client for its model."""

    config: Config


@dataclass
class GetParametersRes:
    """A client's model."""

    status: Status
    parameters: Parameters


@dataclass
class FitIns:
    """Asks a client to train a model."""

    parameters: Parameters
    config: Config


@dataclass
class FitRes:
    """A trained model and how many examples it was trained on."""

    status: Status
    parameters: Parameters
    num_examples: int
    metrics: Metrics


@dataclass
class EvaluateIns:
    """Asks a client to evaluate a model."""

    parameters: Parameters
    config: Config


@dataclass
class EvaluateRes:
    """A model's loss and how many examples it was evaluated on."""

    status: Status
    loss: float
    num_examples: int
    metrics: Metrics


@dataclass
class GetPropertiesIns:
    """Asks a client what it is."""

    config: Config


@dataclass
class GetPropertiesRes:
    """What a client is."""

    status: Status
    properties: Properties


@dataclass
class ReconnectIns:
    """Asks a client to leave and to come back after so many seconds; None: not at all."""

    seconds: int | None


@dataclass
class DisconnectRes:
    """Why a client leaves."""

    reason: str


@dataclass
class ServerMessage:
    """One of the things a client may be asked."""

    get_properties_ins: GetPropertiesIns | None = None
    get_parameters_ins: GetParametersIns | None = None
    fit_ins: FitIns | None = None
    evaluate_ins: EvaluateIns | None = None


@dataclass
class ClientMessage:
    """One of the things a client may answer."""

    get_properties_res: GetPropertiesRes | None = None
    get_parameters_res: GetParametersRes | None = None
    fit_res: FitRes | None = None
    evaluate_res: EvaluateRes | None = None
