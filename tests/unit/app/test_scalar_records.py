from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flwr.app import ConfigRecord, MetricRecord

INTS, FLOATS = st.integers(), st.floats(allow_nan=False)
METRICS = st.one_of(INTS, FLOATS, st.lists(INTS), st.lists(FLOATS))
SCALARS = [INTS, FLOATS, st.text(), st.binary(), st.booleans()]
CONFIGS = st.one_of(*SCALARS, *(st.lists(scalar) for scalar in SCALARS))


@given(st.dictionaries(st.text(), METRICS))
def test_a_metric_record_holds_numbers_and_lists_of_them(entries: dict[str, Any]) -> None:
    record = MetricRecord(entries)

    assert record == entries
    assert list(record.items()) == list(entries.items())
    numbers = sum(len(v) if isinstance(v, list) else 1 for v in entries.values())
    assert record.count_bytes() == 8 * numbers + sum(map(len, entries))


@given(st.dictionaries(st.text(), CONFIGS))
def test_a_config_record_holds_scalars_and_lists_of_them(entries: dict[str, Any]) -> None:
    record = ConfigRecord(entries)

    assert record == entries
    assert record.count_bytes() >= sum(map(len, entries))
    assert repr(record) == repr(entries)


@pytest.mark.parametrize(
    "value",
    [True, [True], None, "1", b"1", (1,), {}, [1, 2.0], [1.0, 2], [None], np.int64(1), np.ones(2)],
)
def test_a_metric_record_refuses_what_is_no_number(value: Any) -> None:
    with pytest.raises(TypeError):
        MetricRecord({"x": value})


@pytest.mark.parametrize(
    "value", [None, (1,), {}, [True, 1], [1, "a"], [[1]], np.int64(1), np.array([])]
)
def test_a_config_record_refuses_what_is_no_scalar(value: Any) -> None:
    with pytest.raises(TypeError):
        ConfigRecord({"x": value})


@pytest.mark.parametrize("value", [np.float64(0.5), [1, True], []])
def test_what_passed_upstream_passes(value: Any) -> None:
    assert MetricRecord({"x": value}) == {"x": value}
    assert ConfigRecord({"x": value}) == {"x": value}


def test_a_name_is_a_string() -> None:
    for kind in (MetricRecord, ConfigRecord):
        with pytest.raises(TypeError, match="key"):
            kind({1: 1})  # type: ignore[dict-item]


def test_config_bytes_are_counted_by_type() -> None:
    record = ConfigRecord({"b": True, "i": 1, "f": 1.0, "s": "abc", "y": b"xy", "l": [1, 2]})

    assert record.count_bytes() == 6 + 1 + 8 + 8 + 3 + 2 + 16


def test_empty_values_count_nothing() -> None:
    assert ConfigRecord({"s": "", "y": b"", "l": []}).count_bytes() == 3


def test_input_is_emptied_when_it_is_not_kept() -> None:
    for kind in (MetricRecord, ConfigRecord):
        given_dict: dict[str, Any] = {"a": 1, "b": 2}

        assert kind(given_dict, keep_input=False) == {"a": 1, "b": 2}
        assert given_dict == {}


def test_records_are_mutable_mappings() -> None:
    record = MetricRecord({"a": 1})

    record.update(b=2.0)
    record.setdefault("c", [1, 2])
    assert record.pop("a") == 1
    assert list(record.items()) == [("b", 2.0), ("c", [1, 2])]
    with pytest.raises(TypeError):
        record.update(b="no")  # type: ignore[call-overload]
    record.clear()
    assert len(record) == 0


def test_a_copy_is_shallow_and_of_the_same_class() -> None:
    record = MetricRecord({"l": [1]})

    twin = record.copy()
    twin["new"] = 1

    assert type(twin) is MetricRecord
    assert twin["l"] is record["l"]
    assert "new" not in record


def test_records_equal_mappings_of_equal_content_only() -> None:
    assert MetricRecord({"a": 1}) == {"a": 1}
    assert MetricRecord({"a": 1}) != {"a": 2}
    assert MetricRecord() != 3
