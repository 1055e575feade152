"""Legacy home of the records; they live in ``flwr.app``."""

from typing import TYPE_CHECKING, Final

from flwr.common.legacy_names import legacy_names

if TYPE_CHECKING:
    from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
    from flwr.common.record.conversion_utils import array_from_numpy
    from flwr.common.record.former_names import (
        ConfigsRecord,
        MetricsRecord,
        ParametersRecord,
        RecordSet,
    )

__all__ = [
    "Array",
    "ArrayRecord",
    "ConfigRecord",
    "ConfigsRecord",
    "MetricRecord",
    "MetricsRecord",
    "ParametersRecord",
    "RecordDict",
    "RecordSet",
    "array_from_numpy",
]

_OLD: Final = f"{__name__}.former_names"

__getattr__ = legacy_names(
    __name__,
    {
        "Array": ("flwr.app", "flwr.app.Array"),
        "ArrayRecord": ("flwr.app", "flwr.app.ArrayRecord"),
        "ConfigRecord": ("flwr.app", "flwr.app.ConfigRecord"),
        "ConfigsRecord": (_OLD, "flwr.app.ConfigRecord"),
        "MetricRecord": ("flwr.app", "flwr.app.MetricRecord"),
        "MetricsRecord": (_OLD, "flwr.app.MetricRecord"),
        "ParametersRecord": (_OLD, "flwr.app.ArrayRecord"),
        "RecordDict": ("flwr.app", "flwr.app.RecordDict"),
        "RecordSet": (_OLD, "flwr.app.RecordDict"),
        "array_from_numpy": (f"{__name__}.conversion_utils", "flwr.app.Array(ndarray)"),
    },
    submodules={
        "array",
        "arrayrecord",
        "configrecord",
        "conversion_utils",
        "metricrecord",
        "recorddict",
    },
)
