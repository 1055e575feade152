"""What legacy clients are asked and answer, as records of a message, and back (app API §6.2).

Names, layout and order are those of upstream's releases: both sides find what they expect, and
equal contents have equal ids.
"""

from typing import Final, TypeVar, cast

from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from flwr.app.configrecord import ConfigRecordValues
from flwr.common.typing import (
    Code,
    Config,
    EvaluateIns,
    EvaluateRes,
    FitIns,
    FitRes,
    GetParametersIns,
    GetParametersRes,
    GetPropertiesIns,
    GetPropertiesRes,
    Parameters,
    Scalar,
    Status,
)

EMPTY_TENSOR_KEY: Final = "_empty"
"""Name of the one array that tells the tensor type of a model without tensors."""

Ins = TypeVar("Ins", FitIns, EvaluateIns)


def parameters_to_arrayrecord(parameters: Parameters, keep_input: bool) -> ArrayRecord:
    """Return the tensors by their position; ``keep_input=False`` empties ``parameters``.

    Dtype and shape of the arrays are unknown here and left empty.
    """
    kind = parameters.tensor_type
    if not parameters.tensors:
        return ArrayRecord({EMPTY_TENSOR_KEY: Array("", (), kind, b"")})
    tensors = enumerate(parameters.tensors)
    record = ArrayRecord({str(index): Array("", (), kind, tensor) for index, tensor in tensors})
    if not keep_input:
        parameters.tensors.clear()
    return record


def arrayrecord_to_parameters(record: ArrayRecord, keep_input: bool) -> Parameters:
    """Return the bytes of the arrays in their order; ``keep_input=False`` empties ``record``."""
    kind = ""
    tensors: list[bytes] = []
    for name, array in record.items():
        kind = array.stype
        if name != EMPTY_TENSOR_KEY:
            tensors.append(array.data)
    if not keep_input:
        record.clear()
    return Parameters(tensors, kind)


def fitins_to_recorddict(fitins: FitIns, keep_input: bool) -> RecordDict:
    """Return the content of a ``train`` instruction."""
    return _from_ins("fitins", fitins, keep_input=keep_input)


def recorddict_to_fitins(recorddict: RecordDict, keep_input: bool) -> FitIns:
    """Return what a ``train`` instruction asks.

    Raises:
        KeyError: a record is missing.
    """
    return _to_ins(FitIns, "fitins", recorddict, keep_input=keep_input)


def evaluateins_to_recorddict(evaluateins: EvaluateIns, keep_input: bool) -> RecordDict:
    """Return the content of an ``evaluate`` instruction."""
    return _from_ins("evaluateins", evaluateins, keep_input=keep_input)


def recorddict_to_evaluateins(recorddict: RecordDict, keep_input: bool) -> EvaluateIns:
    """Return what an ``evaluate`` instruction asks.

    Raises:
        KeyError: a record is missing.
    """
    return _to_ins(EvaluateIns, "evaluateins", recorddict, keep_input=keep_input)


def fitres_to_recorddict(fitres: FitRes, keep_input: bool) -> RecordDict:
    """Return the content of a reply to ``train``."""
    return RecordDict(
        {
            "fitres.metrics": _record(fitres.metrics),
            "fitres.num_examples": MetricRecord({"num_examples": fitres.num_examples}),
            "fitres.parameters": parameters_to_arrayrecord(fitres.parameters, keep_input),
            "fitres.status": _from_status(fitres.status),
        }
    )


def recorddict_to_fitres(recorddict: RecordDict, keep_input: bool) -> FitRes:
    """Return what a reply to ``train`` says.

    Raises:
        KeyError: a record is missing.
        TypeError: a metric is no scalar.
    """
    arrays = recorddict.array_records["fitres.parameters"]
    return FitRes(
        status=_status(recorddict, "fitres"),
        parameters=arrayrecord_to_parameters(arrays, keep_input),
        num_examples=_count(recorddict, "fitres"),
        metrics=_scalars(recorddict, "fitres.metrics"),
    )


def evaluateres_to_recorddict(evaluateres: EvaluateRes) -> RecordDict:
    """Return the content of a reply to ``evaluate``."""
    return RecordDict(
        {
            "evaluateres.loss": MetricRecord({"loss": evaluateres.loss}),
            "evaluateres.num_examples": MetricRecord({"num_examples": evaluateres.num_examples}),
            "evaluateres.metrics": _record(evaluateres.metrics),
            "evaluateres.status": _from_status(evaluateres.status),
        }
    )


def recorddict_to_evaluateres(recorddict: RecordDict) -> EvaluateRes:
    """Return what a reply to ``evaluate`` says.

    Raises:
        KeyError: a record is missing.
        TypeError: a metric is no scalar.
    """
    return EvaluateRes(
        status=_status(recorddict, "evaluateres"),
        loss=cast("float", recorddict.metric_records["evaluateres.loss"]["loss"]),
        num_examples=_count(recorddict, "evaluateres"),
        metrics=_scalars(recorddict, "evaluateres.metrics"),
    )


def getparametersins_to_recorddict(getparameters_ins: GetParametersIns) -> RecordDict:
    """Return the content of a ``get_parameters`` instruction."""
    return RecordDict({"getparametersins.config": _record(getparameters_ins.config)})


def recorddict_to_getparametersins(recorddict: RecordDict) -> GetParametersIns:
    """Return what a ``get_parameters`` instruction asks.

    Raises:
        KeyError: a record is missing.
    """
    return GetParametersIns(_scalars(recorddict, "getparametersins.config"))


def getparametersres_to_recorddict(
    getparametersres: GetParametersRes, keep_input: bool
) -> RecordDict:
    """Return the content of a reply to ``get_parameters``."""
    arrays = parameters_to_arrayrecord(getparametersres.parameters, keep_input)
    return RecordDict(
        {
            "getparametersres.parameters": arrays,
            "getparametersres.status": _from_status(getparametersres.status),
        }
    )


def recorddict_to_getparametersres(recorddict: RecordDict, keep_input: bool) -> GetParametersRes:
    """Return what a reply to ``get_parameters`` says.

    Raises:
        KeyError: a record is missing.
    """
    arrays = recorddict.array_records["getparametersres.parameters"]
    return GetParametersRes(
        status=_status(recorddict, "getparametersres"),
        parameters=arrayrecord_to_parameters(arrays, keep_input),
    )


def getpropertiesins_to_recorddict(getpropertiesins: GetPropertiesIns) -> RecordDict:
    """Return the content of a ``get_properties`` instruction."""
    return RecordDict({"getpropertiesins.config": _record(getpropertiesins.config)})


def recorddict_to_getpropertiesins(recorddict: RecordDict) -> GetPropertiesIns:
    """Return what a ``get_properties`` instruction asks.

    Raises:
        KeyError: a record is missing.
    """
    return GetPropertiesIns(_scalars(recorddict, "getpropertiesins.config"))


def getpropertiesres_to_recorddict(getpropertiesres: GetPropertiesRes) -> RecordDict:
    """Return the content of a reply to ``get_properties``."""
    return RecordDict(
        {
            "getpropertiesres.properties": _record(getpropertiesres.properties),
            "getpropertiesres.status": _from_status(getpropertiesres.status),
        }
    )


def recorddict_to_getpropertiesres(recorddict: RecordDict) -> GetPropertiesRes:
    """Return what a reply to ``get_properties`` says.

    Raises:
        KeyError: a record is missing.
    """
    return GetPropertiesRes(
        status=_status(recorddict, "getpropertiesres"),
        properties=_scalars(recorddict, "getpropertiesres.properties"),
    )


def _from_ins(kind: str, ins: FitIns | EvaluateIns, *, keep_input: bool) -> RecordDict:
    arrays = parameters_to_arrayrecord(ins.parameters, keep_input)
    return RecordDict({f"{kind}.parameters": arrays, f"{kind}.config": _record(ins.config)})


def _to_ins(make: type[Ins], kind: str, recorddict: RecordDict, *, keep_input: bool) -> Ins:
    arrays = recorddict.array_records[f"{kind}.parameters"]
    parameters = arrayrecord_to_parameters(arrays, keep_input)
    return make(parameters, _scalars(recorddict, f"{kind}.config"))


def _record(scalars: Config) -> ConfigRecord:
    return ConfigRecord(cast("dict[str, ConfigRecordValues]", scalars))


def _scalars(recorddict: RecordDict, name: str) -> Config:
    scalars: Config = {}
    for key, value in recorddict.config_records[name].items():
        if not isinstance(value, Scalar):
            raise TypeError(
                f"'{key}' in {name} is a {type(value).__name__}: the legacy API carries bool, "
                "bytes, float, int and str only; use flwr.app.Message for lists",
            )
        scalars[key] = value
    return scalars


def _count(recorddict: RecordDict, kind: str) -> int:
    return cast("int", recorddict.metric_records[f"{kind}.num_examples"]["num_examples"])


def _from_status(status: Status) -> ConfigRecord:
    return ConfigRecord({"code": int(status.code.value), "message": status.message})


def _status(recorddict: RecordDict, kind: str) -> Status:
    record = recorddict.config_records[f"{kind}.status"]
    return Status(Code(record["code"]), str(record["message"]))
