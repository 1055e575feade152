"""Records <-> protobuf (wire contract §7.3).  Order of items is kept: it is part of object ids."""

from typing import Any, Final

from flwr.app.array import Array
from flwr.app.arrayrecord import ArrayRecord
from flwr.app.configrecord import ConfigRecord, ConfigRecordValues
from flwr.app.metricrecord import MetricRecord, MetricRecordValues
from flwr.app.recorddict import RecordDict, RecordType
from flwr.core.errors import InvalidError
from flwr.proto import recorddict_pb2 as pb

_SINT64_MAX: Final = 2**63 - 1
# Field names of the oneofs: of a scalar, and of a list of it.
_LISTS: Final = {
    "double": "double_list",
    "sint64": "sint_list",
    "uint64": "uint_list",
    "bool": "bool_list",
    "string": "string_list",
    "bytes": "bytes_list",
}


def encode_config_record(record: ConfigRecord) -> pb.ConfigRecord:
    """Return the settings; an empty list becomes an empty list of bool.

    Raises:
        InvalidError: an integer needs more than 64 bits.
    """
    return pb.ConfigRecord(
        items=[
            pb.ConfigRecord.Item(
                key=name,
                value=pb.ConfigRecordValue(**_encode_value(name, value, empty="bool_list")),
            )
            for name, value in record.items()
        ],
    )


def decode_config_record(record: pb.ConfigRecord) -> ConfigRecord:
    """Return the settings.

    Raises:
        InvalidError: an item has no value.
    """
    decoded = ConfigRecord()
    for item in record.items:
        value: ConfigRecordValues = _decode_value(item.key, item.value)
        decoded[item.key] = value
    return decoded


def encode_metric_record(record: MetricRecord) -> pb.MetricRecord:
    """Return the numbers; an empty list becomes an empty list of double.

    Raises:
        InvalidError: an integer needs more than 64 bits.
    """
    return pb.MetricRecord(
        items=[
            pb.MetricRecord.Item(
                key=name,
                value=pb.MetricRecordValue(**_encode_value(name, value, empty="double_list")),
            )
            for name, value in record.items()
        ],
    )


def decode_metric_record(record: pb.MetricRecord) -> MetricRecord:
    """Return the numbers.

    Raises:
        InvalidError: an item has no value.
    """
    decoded = MetricRecord()
    for item in record.items:
        value: MetricRecordValues = _decode_value(item.key, item.value)
        decoded[item.key] = value
    return decoded


def encode_array_record(record: ArrayRecord) -> pb.ArrayRecord:
    """Return the arrays with their bytes; only a context's state travels like this."""
    return pb.ArrayRecord(
        items=[
            pb.ArrayRecord.Item(
                key=name,
                value=pb.Array(
                    dtype=array.dtype, shape=array.shape, stype=array.stype, data=array.data
                ),
            )
            for name, array in record.items()
        ],
    )


def decode_array_record(record: pb.ArrayRecord) -> ArrayRecord:
    """Return the arrays."""
    decoded = ArrayRecord()
    for item in record.items:
        array = item.value
        decoded[item.key] = Array(array.dtype, tuple(array.shape), array.stype, array.data)
    return decoded


def encode_record_dict(records: RecordDict) -> pb.RecordDict:
    """Return all records with their bytes.

    Raises:
        InvalidError: an integer needs more than 64 bits.
    """
    return pb.RecordDict(items=[_encode_item(name, value) for name, value in records.items()])


def decode_record_dict(records: pb.RecordDict) -> RecordDict:
    """Return all records.

    Raises:
        InvalidError: an item has no value.
    """
    decoded = RecordDict()
    for item in records.items:
        decoded[item.key] = _decode_item(item)
    return decoded


def _encode_item(name: str, record: RecordType) -> pb.RecordDict.Item:
    match record:
        case ArrayRecord():
            return pb.RecordDict.Item(key=name, array_record=encode_array_record(record))
        case MetricRecord():
            return pb.RecordDict.Item(key=name, metric_record=encode_metric_record(record))
        case ConfigRecord():
            return pb.RecordDict.Item(key=name, config_record=encode_config_record(record))


def _decode_item(item: pb.RecordDict.Item) -> RecordType:
    match item.WhichOneof("value"):
        case "array_record":
            return decode_array_record(item.array_record)
        case "metric_record":
            return decode_metric_record(item.metric_record)
        case "config_record":
            return decode_config_record(item.config_record)
        case None:
            raise InvalidError(f"record {item.key!r} has no value")


def _encode_value(name: str, value: Any, *, empty: str) -> dict[str, Any]:
    """Return the oneof field of a record's value, as the argument of its constructor."""
    if not isinstance(value, list):
        return {_field_of(name, [value]): value}
    if not value:
        return {empty: _new_list(empty, value)}
    field = _LISTS[_field_of(name, value)]
    return {field: _new_list(field, value)}


def _field_of(name: str, values: list[Any]) -> str:
    match values[0]:
        case bool():
            return "bool"
        case int():
            return _integer_field(name, values)
        case float():
            return "double"
        case str():
            return "string"
        case _:
            return "bytes"


def _integer_field(name: str, values: list[int]) -> str:
    low, high = min(values), max(values)
    if low >= -_SINT64_MAX - 1 and high <= _SINT64_MAX:
        return "sint64"
    if low < 0 or high > 2 * _SINT64_MAX + 1:
        raise InvalidError(f"integers of {name!r} need more than 64 bits")
    return "uint64"


def _new_list(field: str, values: list[Any]) -> Any:
    kinds = {
        "double_list": pb.DoubleList,
        "sint_list": pb.SintList,
        "uint_list": pb.UintList,
        "bool_list": pb.BoolList,
        "string_list": pb.StringList,
        "bytes_list": pb.BytesList,
    }
    return kinds[field](vals=values)


def _decode_value(name: str, value: pb.ConfigRecordValue | pb.MetricRecordValue) -> Any:
    field = value.WhichOneof("value")
    if field is None:
        raise InvalidError(f"record item {name!r} has no value")
    found = getattr(value, field)
    return list(found.vals) if field.endswith("_list") else found
