"""What holds for every record, whatever is in it: each is a checked dict that can be sent on."""

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict
from tests.unit.app import anything

Make = Callable[[Any], Any]
KINDS = [
    pytest.param(ArrayRecord, anything.ARRAY_ENTRIES, np.ones(1), id="ArrayRecord"),
    pytest.param(MetricRecord, anything.METRIC_ENTRIES, True, id="MetricRecord"),
    pytest.param(ConfigRecord, anything.CONFIG_ENTRIES, None, id="ConfigRecord"),
    pytest.param(RecordDict, anything.RECORD_DICTS.map(dict), {}, id="RecordDict"),
]
every_kind = pytest.mark.parametrize(("kind", "entries", "bad_value"), KINDS)
Entries = st.SearchStrategy[dict[str, Any]]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["set", "pop", "setdefault", "update", "del", "clear", "get"]),
        st.integers(0, 3),
    ),
    max_size=8,
)


def is_same(one: Any, other: Any) -> bool:
    """Compare by value and type, entry by entry, in order."""
    if type(one) is not type(other) or one != other:
        return False
    if isinstance(one, ArrayRecord | MetricRecord | ConfigRecord | RecordDict):
        return list(one) == list(other) and all(map(is_same, one.values(), other.values()))
    if isinstance(one, list):
        return all(map(is_same, one, other))
    return True


@anything.quick
@every_kind
@given(data=st.data(), steps=STEPS)
def test_a_record_does_what_a_dict_does(
    kind: Make, entries: Entries, bad_value: Any, data: st.DataObject, steps: list[tuple[str, int]]
) -> None:
    start, more = data.draw(entries), data.draw(entries)
    model, record = dict(start), kind(dict(start))
    keys = [*start, *more, "absent", "other"]

    for step, at in steps:
        key = keys[at % len(keys)]
        value = more.get(key, start.get(key))
        assert outcome(step, record, key, value, more) == outcome(step, model, key, value, more)

    assert list(record.items()) == list(model.items())
    assert len(record) == len(model)
    assert repr(record) == repr(model) or kind is RecordDict


def outcome(step: str, mapping: Any, key: str, value: Any, more: dict[str, Any]) -> Any:
    """Do one thing to a mapping; return what came of it."""
    deeds: dict[str, Callable[[], Any]] = {
        "set": lambda: mapping.__setitem__(key, value),
        "setdefault": lambda: mapping.setdefault(key, value),
        "pop": lambda: mapping.pop(key, "none"),
        "update": lambda: mapping.update(more),
        "del": lambda: mapping.__delitem__(key),
        "clear": mapping.clear,
        "get": lambda: (key in mapping, mapping.get(key)),
    }
    if value is None and step in {"set", "setdefault"}:
        return None
    try:
        return deeds[step]()
    except KeyError as error:
        return error.args


@anything.quick
@every_kind
@given(data=st.data())
def test_what_is_refused_changes_nothing(
    kind: Make, entries: Entries, bad_value: Any, data: st.DataObject
) -> None:
    start = data.draw(entries)
    record = kind(dict(start))

    for key, value in (("new", bad_value), *((key, bad_value) for key in start)):
        with pytest.raises(TypeError):
            record[key] = value
    for value in start.values():
        with pytest.raises(TypeError):
            record[1] = value
    with pytest.raises(TypeError):
        kind({**start, "bad": bad_value})

    assert record == start


@anything.quick
@every_kind
@given(data=st.data())
def test_equality_is_that_of_the_entries(
    kind: Make, entries: Entries, bad_value: Any, data: st.DataObject
) -> None:
    one, other = data.draw(entries), data.draw(entries)

    assert (kind(dict(one)) == kind(dict(other))) is (one == other)
    assert (kind(dict(one)) == other) is (one == other)
    assert kind(dict(one)) != list(one.items())
    with pytest.raises(TypeError, match="unhashable"):
        hash(kind({}))


@anything.quick
@every_kind
@given(data=st.data())
def test_copies_and_pickles_are_equal_and_of_their_own(
    kind: Make, entries: Entries, bad_value: Any, data: st.DataObject
) -> None:
    record = kind(data.draw(entries))

    shallow, deep, sent = record.copy(), copy.deepcopy(record), anything.pickled(record)

    assert all(is_same(record, twin) for twin in (shallow, deep, sent))
    assert all(shallow[key] is record[key] for key in record)
    before = list(record)
    for twin in (shallow, deep, sent):
        twin.clear()
    assert list(record) == before


@anything.quick
@pytest.mark.parametrize(
    ("kind", "entries"),
    [(MetricRecord, anything.METRIC_ENTRIES), (ConfigRecord, anything.CONFIG_ENTRIES)],
)
@given(data=st.data(), keep_input=st.booleans())
def test_input_is_kept_or_emptied(
    kind: Make, entries: Entries, data: st.DataObject, keep_input: bool
) -> None:
    start = data.draw(entries)
    given_dict = dict(start)

    record = kind(given_dict, keep_input=keep_input)  # type: ignore[call-arg]

    assert record == start
    assert given_dict == (start if keep_input else {})
    assert all(record[key] is start[key] for key in start)  # views, not copies


@anything.quick
@given(ndarrays=st.lists(anything.NDARRAYS, max_size=4), keep_input=st.booleans())
def test_ndarrays_go_there_and_back(ndarrays: list[NDArray[Any]], keep_input: bool) -> None:
    given_list = list(ndarrays)

    record = ArrayRecord(given_list, keep_input=keep_input)
    size = record.count_bytes()
    back = record.to_numpy_ndarrays(keep_input=keep_input)

    assert len(given_list) == (len(ndarrays) if keep_input else 0)
    assert list(record) == ([str(i) for i in range(len(ndarrays))] if keep_input else [])
    assert size >= sum(ndarray.nbytes for ndarray in ndarrays)
    for wanted, found in zip(ndarrays, back, strict=True):
        assert found.dtype == wanted.dtype
        assert found.flags.writeable
        np.testing.assert_array_equal(found, wanted)


@anything.quick
@given(entries=anything.ARRAY_ENTRIES, keep_input=st.booleans())
def test_arrays_of_a_dict_share_bytes_but_not_identity(
    entries: dict[str, Array], keep_input: bool
) -> None:
    given_dict = dict(entries)

    record = ArrayRecord(given_dict, keep_input=keep_input)

    assert given_dict == (entries if keep_input else {})
    assert record == entries
    for name, array in entries.items():
        assert record[name] is not array
        assert record[name].data is array.data


@anything.quick
@given(array=anything.ARRAYS, other=anything.ARRAYS)
def test_an_array_is_its_four_fields(array: Array, other: Array) -> None:
    fields = (array.dtype, array.shape, array.stype, array.data)

    assert Array(*fields) == array
    assert copy.deepcopy(array) == array
    assert anything.pickled(array) == array
    told = (other.dtype, other.shape, other.stype, other.data)
    assert (array == other) is (fields == told)


@anything.quick
@given(one=anything.RECORDS, other=anything.RECORDS)
def test_bytes_add_up(one: Any, other: Any) -> None:
    if type(one) is not type(other):
        return
    renamed = {f"{index}-{name}": value for index, (name, value) in enumerate(other.items())}
    for name in renamed:
        one.pop(name, None)
    longer_names = sum(map(len, renamed)) - sum(map(len, other))
    before, added = one.count_bytes(), other.count_bytes() + longer_names

    one.update(renamed)

    assert one.count_bytes() == before + added


@anything.quick
@given(records=anything.RECORD_DICTS)
def test_views_are_the_records_by_kind(records: RecordDict) -> None:
    views: list[tuple[Any, type]] = [
        (records.array_records, ArrayRecord),
        (records.metric_records, MetricRecord),
        (records.config_records, ConfigRecord),
    ]

    assert sorted(name for view, _ in views for name in view) == sorted(records)
    for view, kind in views:
        assert all(type(record) is kind for record in view.values())
        assert all(records[name] is record for name, record in view.items())


@anything.quick
@given(
    records=anything.RECORD_DICTS,
    changes=st.lists(st.tuples(anything.NAMES, anything.METRIC_RECORDS), max_size=4),
    deleted=st.integers(0, 5),
)
def test_what_is_done_to_a_view_is_done_to_the_whole(
    records: RecordDict, changes: list[tuple[str, MetricRecord]], deleted: int
) -> None:
    view, model = records.metric_records, dict(records)

    for name, record in changes:
        view[name] = record
        model[name] = record
    for name in list(view)[:deleted]:
        del view[name]
        del model[name]

    assert list(records.items()) == list(model.items())
    assert view == records.metric_records
