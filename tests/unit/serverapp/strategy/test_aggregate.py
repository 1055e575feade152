import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from flwr.app import Array, ArrayRecord, MetricRecord, RecordDict
from flwr.serverapp.exception import AggregationError, InconsistentMessageReplies
from flwr.serverapp.strategy.aggregate import (
    aggregate_arrayrecords,
    aggregate_metricrecords,
    median,
    shares,
    stacked,
)
from flwr.serverapp.strategy.mean import WeightedMean
from tests.unit.serverapp.strategy.given_replies import model, weighted


def mean_of(*pairs: tuple[Any, float]) -> NDArray[Any]:
    contents = [weighted(ArrayRecord([np.asarray(values)]), w) for values, w in pairs]
    return aggregate_arrayrecords(contents, "num-examples")["0"].numpy()


@pytest.mark.parametrize(
    ("pairs", "wanted", "dtype"),
    [
        ([([1, 2], 3), ([2, 2], 1)], [1.25, 2.0], "float64"),
        ([(np.float16(1.5), 3), (np.float16(2), 1)], 1.625, "float16"),
        ([(np.array([1.5], "f2"), 3), (np.array([2.0]), 1)], [1.625], "float16"),
        ([([True], 3), ([False], 1)], [0.75], "float64"),
        ([(np.array([7], "f4"), 5)], [7.0], "float32"),
    ],
)
def test_the_mean_is_weighted_and_floats_keep_their_type(
    pairs: list[tuple[Any, float]], wanted: Any, dtype: str
) -> None:
    mean = mean_of(*pairs)

    assert mean.tolist() == wanted
    assert mean.dtype == dtype


SAME_SHAPE = hnp.array_shapes(max_dims=3).flatmap(
    lambda shape: st.lists(
        st.tuples(
            hnp.arrays(np.float64, shape, elements=st.floats(-1e6, 1e6)), st.integers(1, 1000)
        ),
        min_size=1,
        max_size=5,
    )
)


@settings(deadline=None)
@given(SAME_SHAPE)
def test_the_mean_agrees_with_numpys(pairs: list[tuple[NDArray[Any], int]]) -> None:
    arrays, weights = zip(*pairs, strict=True)

    np.testing.assert_allclose(
        mean_of(*pairs), np.average(arrays, axis=0, weights=weights), rtol=1e-9, atol=1e-6
    )


def test_weights_that_add_up_to_zero_are_an_error_that_names_the_remedy() -> None:
    with pytest.raises(AggregationError, match="how many examples") as raised:
        shares([0, 0])
    # What upstream raises, and apps may expect; the process ends as for any failed aggregation.
    assert isinstance(raised.value, ZeroDivisionError)
    assert raised.value.exit_code == AggregationError.exit_code


def test_one_array_of_all_replies_is_stacked_in_a_type_that_holds_them() -> None:
    records = [model(1, 2, dtype="int64"), model(3.5, 4, dtype="float32")]

    stack = stacked(records, "0")

    assert stack.tolist() == [[1, 2], [3.5, 4]]
    assert stack.dtype == "float64"
    with pytest.raises(InconsistentMessageReplies, match=r"'0'.*shape"):
        stacked([model(1), model(1, 2)], "0")


def test_differing_shapes_are_an_error_that_names_the_array() -> None:
    with pytest.raises(InconsistentMessageReplies, match=r"'0'.*shape"):
        mean_of(([1.0], 1), ([1.0, 2.0], 1))
    with pytest.raises(InconsistentMessageReplies, match=r"'0'.*shape"):
        median([model(1), model(1, 2)])


def test_a_mean_of_many_models_needs_memory_for_its_sum_alone() -> None:
    size, clients = 1_000_000, 12
    arrays = ArrayRecord({"w": Array(np.ones(size, np.float32))})

    tracemalloc.start()
    try:
        mean = WeightedMean()
        for number in range(clients):
            mean.add(arrays, 1 + number)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak_bytes < 1.1 * 4 * size
    assert mean.result()["w"].numpy().tolist() == [1.0] * size


def test_arrays_by_columns_and_by_rows_add_up_by_place() -> None:
    values = np.arange(6.0).reshape(2, 3)
    assert mean_of((np.asfortranarray(values), 1), (values, 3)).tolist() == values.tolist()
    assert mean_of((values, 1), (np.asfortranarray(values), 3)).tolist() == values.tolist()


def running_mean(*pairs: tuple[Any, float]) -> list[float]:
    mean = WeightedMean()
    for values, weight in pairs:
        mean.add(ArrayRecord([np.asarray(values)]), weight)
    result: list[float] = mean.result()["0"].numpy().tolist()
    return result


@settings(deadline=None)
@given(SAME_SHAPE)
def test_a_running_mean_agrees_with_the_one_of_all(pairs: list[tuple[NDArray[Any], int]]) -> None:
    np.testing.assert_allclose(running_mean(*pairs), mean_of(*pairs), rtol=1e-9, atol=1e-6)


def test_a_running_mean_adds_models_of_equal_weight_exactly() -> None:
    assert running_mean(*[(np.full(10, 3.0, np.float32), 60_000)] * 49) == [3.0] * 10


def test_half_precision_is_added_up_in_single() -> None:
    large = np.full(3, 60_000, np.float16)  # the sum of two is beyond its range
    assert running_mean(*[(large, 500)] * 9) == large.tolist()


def test_the_first_weight_may_be_zero() -> None:
    assert running_mean(([5.0], 0), ([7.0], 2), ([9.0], 6)) == [8.5]
    with pytest.raises(AggregationError, match="how many examples"):
        running_mean(([5.0], 0))


def test_metrics_are_averaged_lists_by_element_and_the_weight_is_dropped() -> None:
    contents = [
        weighted(None, 3, acc=2, per_class=[1, 2]),
        weighted(None, 1, acc=4, per_class=[3, 2]),
    ]

    assert aggregate_metricrecords(contents, "num-examples") == {
        "acc": 2.5,
        "per_class": [1.5, 2.0],
    }


@pytest.mark.parametrize(("one", "other"), [([1, 2], [1, 2, 3]), ([1], 1), (1, [1])])
def test_metrics_of_differing_form_are_an_error(one: Any, other: Any) -> None:
    with pytest.raises(InconsistentMessageReplies, match="'acc'"):
        aggregate_metricrecords(
            [weighted(None, 1, acc=one), weighted(None, 1, acc=other)], "num-examples"
        )


@settings(deadline=None)
@given(st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=7))
def test_the_median_ignores_weights_and_order(values: list[float]) -> None:
    records = [model(value, dtype="float64") for value in values]

    assert median(records)["0"] == np.median(values)
    assert median(records[::-1])["0"] == np.median(values)


def test_a_record_under_any_name_is_found() -> None:
    content = RecordDict({"m": MetricRecord({"n": 2, "x": 1.0}), "a": model(1)})

    assert aggregate_arrayrecords([content], "n")["0"] == model(1)["0"]
