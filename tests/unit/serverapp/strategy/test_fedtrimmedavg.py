import logging

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from flwr.app import ArrayRecord, Message
from flwr.serverapp.exception import AggregationError, InconsistentMessageReplies
from flwr.serverapp.strategy import FedTrimmedAvg
from flwr.serverapp.strategy.fedtrimmedavg import trim_mean
from tests.unit.serverapp.strategy.given_replies import failure, floats, model, reply, weighted

FIVE: list[list[float]] = [[1, 10], [2, 9], [3, 8], [4, 7], [100, -50]]


def replies(models: list[list[float]], dtype: str = "float32") -> list[Message]:
    return [
        reply(weighted(model(*values, dtype=dtype), index + 1, loss=float(index)))
        for index, values in enumerate(models)
    ]


def trimmed_by_hand(rows: list[float], beta: float) -> float:
    cut = int(beta * len(rows))
    kept = sorted(rows)[cut : len(rows) - cut]
    return sum(kept) / len(kept)


@pytest.mark.parametrize(
    ("beta", "wanted"),
    [(0.2, [3, 8]), (0.0, [22, -3.2]), (0.39, [3, 8]), (0.4, [3, 8]), (0.19, [22, -3.2])],
)
def test_the_extremes_of_each_element_are_cut(beta: float, wanted: list[float]) -> None:
    arrays, metrics = FedTrimmedAvg(beta=beta).aggregate_train(1, replies(FIVE))

    assert floats(arrays) == pytest.approx(wanted)
    # Metrics stay weighted: (0*1 + 1*2 + 2*3 + 3*4 + 4*5) / 15.
    assert metrics == {"loss": pytest.approx(40 / 15)}


@pytest.mark.parametrize(
    ("dtype", "wanted"), [("float16", "float16"), ("float32", "float32"), ("int64", "float64")]
)
def test_floats_keep_their_type(dtype: str, wanted: str) -> None:
    arrays, _ = FedTrimmedAvg().aggregate_train(1, replies(FIVE, dtype))

    assert arrays is not None
    assert arrays["0"].dtype == wanted
    assert floats(arrays) == [3, 8]


@pytest.mark.parametrize(
    ("beta", "count", "text"),
    [(0.5, 2, "too large"), (0.67, 3, "too large"), (2.0, 5, "too large"), (-0.5, 3, "negative")],
)
def test_a_beta_that_leaves_nothing_is_an_error(beta: float, count: int, text: str) -> None:
    with pytest.raises(AggregationError, match=text):
        FedTrimmedAvg(beta=beta).aggregate_train(1, replies(FIVE[:count]))


def test_nan_counts_as_the_highest() -> None:
    arrays, _ = FedTrimmedAvg().aggregate_train(1, replies([[float("nan")], [2], [3], [4], [5]]))

    assert floats(arrays) == [4]


def test_scalars_are_trimmed_too() -> None:
    contents = [weighted(ArrayRecord([np.array(float(x))])) for x in (1, 2, 3, 4, 100)]

    arrays, _ = FedTrimmedAvg().aggregate_train(1, map(reply, contents))

    assert arrays is not None
    assert arrays["0"].numpy() == 3


def test_differing_shapes_are_an_error_and_no_replies_are_none() -> None:
    with pytest.raises(InconsistentMessageReplies, match="shape"):
        FedTrimmedAvg().aggregate_train(1, replies([[1], [1, 2]]))
    assert FedTrimmedAvg().aggregate_train(1, []) == (None, None)
    assert FedTrimmedAvg().aggregate_train(1, [failure()]) == (None, None)


ROWS = hnp.arrays(
    np.float64,
    hnp.array_shapes(min_dims=1, max_dims=3, max_side=7),
    elements=st.floats(-1e6, 1e6),
)


@settings(deadline=None)
@given(ROWS, st.floats(0, 0.49))
def test_it_is_the_mean_of_the_sorted_middle_in_any_order(
    rows: NDArray[np.float64], beta: float
) -> None:
    assume(2 * int(beta * len(rows)) < len(rows))
    wanted = np.apply_along_axis(lambda column: trimmed_by_hand(list(column), beta), 0, rows)

    trimmed = trim_mean(rows, beta)

    np.testing.assert_allclose(trimmed, wanted, rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(trim_mean(rows[::-1], beta), trimmed, rtol=1e-9, atol=1e-6)
    assert (trimmed >= rows.min(axis=0) - 1e-6).all()
    assert (trimmed <= rows.max(axis=0) + 1e-6).all()


def test_the_summary_shows_beta(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "flwr"):
        FedTrimmedAvg().summary()

    assert caplog.messages[:2] == ["\t├──> FedTrimmedAvg settings:", "\t│\t└── beta: 0.2"]
