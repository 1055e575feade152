"""Legacy names that were shared by clients and servers.

Everything here is a thin layer on the present API, loaded on first use, with one
DeprecationWarning per name that says what to use instead.  Nothing of ours imports it.
"""

from typing import TYPE_CHECKING, Final

from flwr.common.legacy_names import legacy_names

if TYPE_CHECKING:
    from flwr.app import (
        Array,
        ArrayRecord,
        ConfigRecord,
        Context,
        Error,
        Message,
        MessageType,
        Metadata,
        MetricRecord,
        RecordDict,
    )
    from flwr.app.configrecord import ConfigRecordValues
    from flwr.app.metricrecord import MetricRecordValues
    from flwr.common.constant import DEFAULT_TTL, GRPC_MAX_MESSAGE_LENGTH, MessageTypeLegacy
    from flwr.common.date import now
    from flwr.common.logger import configure, log
    from flwr.common.parameter import (
        bytes_to_ndarray,
        ndarray_to_bytes,
        ndarrays_to_parameters,
        parameters_to_ndarrays,
    )
    from flwr.common.record.conversion_utils import array_from_numpy
    from flwr.common.record.former_names import (
        ConfigsRecord,
        MetricsRecord,
        ParametersRecord,
        RecordSet,
    )
    from flwr.common.telemetry import EventType, event
    from flwr.common.typing import (
        ClientMessage,
        Code,
        Config,
        DisconnectRes,
        EvaluateIns,
        EvaluateRes,
        FitIns,
        FitRes,
        GetParametersIns,
        GetParametersRes,
        GetPropertiesIns,
        GetPropertiesRes,
        Metrics,
        MetricsAggregationFn,
        NDArray,
        NDArrays,
        Parameters,
        Properties,
        ReconnectIns,
        Scalar,
        ServerMessage,
        Status,
    )

__all__ = [
    "DEFAULT_TTL",
    "GRPC_MAX_MESSAGE_LENGTH",
    "Array",
    "ArrayRecord",
    "ClientMessage",
    "Code",
    "Config",
    "ConfigRecord",
    "ConfigRecordValues",
    "ConfigsRecord",
    "Context",
    "DisconnectRes",
    "Error",
    "EvaluateIns",
    "EvaluateRes",
    "EventType",
    "FitIns",
    "FitRes",
    "GetParametersIns",
    "GetParametersRes",
    "GetPropertiesIns",
    "GetPropertiesRes",
    "Message",
    "MessageType",
    "MessageTypeLegacy",
    "Metadata",
    "MetricRecord",
    "MetricRecordValues",
    "Metrics",
    "MetricsAggregationFn",
    "MetricsRecord",
    "NDArray",
    "NDArrays",
    "Parameters",
    "ParametersRecord",
    "Properties",
    "ReconnectIns",
    "RecordDict",
    "RecordSet",
    "Scalar",
    "ServerMessage",
    "Status",
    "array_from_numpy",
    "bytes_to_ndarray",
    "configure",
    "event",
    "log",
    "ndarray_to_bytes",
    "ndarrays_to_parameters",
    "now",
    "parameters_to_ndarrays",
]

_TYPES: Final = f"{__name__}.typing"
_PARAMETER: Final = f"{__name__}.parameter"
_OLD: Final = f"{__name__}.record.former_names"
_CONTENT: Final = "the RecordDict of a flwr.app.Message"
_MODEL: Final = "flwr.app.ArrayRecord"
_METRICS: Final = "flwr.app.MetricRecord"
_CONFIG: Final = "flwr.app.ConfigRecord"

__getattr__ = legacy_names(
    __name__,
    {
        "DEFAULT_TTL": (f"{__name__}.constant", "the argument ttl of flwr.app.Message"),
        "GRPC_MAX_MESSAGE_LENGTH": (f"{__name__}.constant", "no limit of your own"),
        "Array": ("flwr.app", "flwr.app.Array"),
        "ArrayRecord": ("flwr.app", "flwr.app.ArrayRecord"),
        "ClientMessage": (_TYPES, _CONTENT),
        "Code": (_TYPES, "flwr.app.Error"),
        "Config": (_TYPES, _CONFIG),
        "ConfigRecord": ("flwr.app", "flwr.app.ConfigRecord"),
        "ConfigRecordValues": ("flwr.app.configrecord", _CONFIG),
        "ConfigsRecord": (_OLD, _CONFIG),
        "Context": ("flwr.app", "flwr.app.Context"),
        "DisconnectRes": (_TYPES, _CONTENT),
        "Error": ("flwr.app", "flwr.app.Error"),
        "EvaluateIns": (_TYPES, _CONTENT),
        "EvaluateRes": (_TYPES, _CONTENT),
        "EventType": (f"{__name__}.telemetry", "nothing: no telemetry is sent"),
        "FitIns": (_TYPES, _CONTENT),
        "FitRes": (_TYPES, _CONTENT),
        "GetParametersIns": (_TYPES, _CONTENT),
        "GetParametersRes": (_TYPES, _CONTENT),
        "GetPropertiesIns": (_TYPES, _CONTENT),
        "GetPropertiesRes": (_TYPES, _CONTENT),
        "Message": ("flwr.app", "flwr.app.Message"),
        "MessageType": ("flwr.app", "flwr.app.MessageType"),
        "MessageTypeLegacy": (f"{__name__}.constant", "flwr.app.MessageType"),
        "Metadata": ("flwr.app", "flwr.app.Metadata"),
        "MetricRecord": ("flwr.app", "flwr.app.MetricRecord"),
        "MetricRecordValues": ("flwr.app.metricrecord", _METRICS),
        "Metrics": (_TYPES, _METRICS),
        "MetricsAggregationFn": (_TYPES, "train_metrics_aggr_fn of flwr.serverapp.strategy"),
        "MetricsRecord": (_OLD, _METRICS),
        "NDArray": (_TYPES, "numpy.typing.NDArray"),
        "NDArrays": (_TYPES, _MODEL),
        "Parameters": (_TYPES, _MODEL),
        "ParametersRecord": (_OLD, _MODEL),
        "Properties": (_TYPES, _CONFIG),
        "ReconnectIns": (_TYPES, _CONTENT),
        "RecordDict": ("flwr.app", "flwr.app.RecordDict"),
        "RecordSet": (_OLD, "flwr.app.RecordDict"),
        "Scalar": (_TYPES, "the values of flwr.app.ConfigRecord"),
        "ServerMessage": (_TYPES, _CONTENT),
        "Status": (_TYPES, "flwr.app.Error"),
        "array_from_numpy": (f"{__name__}.record.conversion_utils", "flwr.app.Array(ndarray)"),
        "bytes_to_ndarray": (_PARAMETER, "flwr.app.Array.numpy"),
        "configure": (f"{__name__}.logger", "the module logging"),
        "event": (f"{__name__}.telemetry", "nothing: no telemetry is sent"),
        "log": (f"{__name__}.logger", "logging.getLogger('flwr').log"),
        "ndarray_to_bytes": (_PARAMETER, "flwr.app.Array"),
        "ndarrays_to_parameters": (_PARAMETER, "flwr.app.ArrayRecord(ndarrays)"),
        "now": (f"{__name__}.date", "datetime.datetime.now(datetime.UTC)"),
        "parameters_to_ndarrays": (_PARAMETER, "flwr.app.ArrayRecord.to_numpy_ndarrays"),
    },
    submodules={
        "config",
        "constant",
        "context",
        "date",
        "differential_privacy",
        "differential_privacy_constants",
        "dp",
        "logger",
        "message",
        "parameter",
        "record",
        "recorddict_compat",
        "secure_aggregation",
        "telemetry",
        "typing",
    },
)
