import logging
from statistics import mean, median

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flwr.app import Message, MetricRecord, RecordDict
from flwr.serverapp.exception import AggregationError, InconsistentMessageReplies
from flwr.serverapp.strategy import Bulyan
from flwr.serverapp.strategy.bulyan import aggregate_n_closest_weights, mean_of_closest
from tests.unit.serverapp.strategy.given_replies import failure, floats, model, reply, weighted

SEVEN = [[1.0, 10.0], [2.0, 9.0], [3.0, 8.0], [4.0, 7.0], [2.5, 7.5], [3.5, 3.0], [100.0, -50.0]]


def replies(models: list[list[float]], dtype: str = "float32") -> list[Message]:
    return [
        reply(weighted(model(*values, dtype=dtype), index + 1, loss=float(index)))
        for index, values in enumerate(models)
    ]


def first_few(contents: list[RecordDict], f: int, count: int) -> list[RecordDict]:
    return contents[:count]


def closest_by_hand(values: list[float], beta: int) -> float:
    center = median(values)
    return mean(sorted(values, key=lambda value: abs(value - center))[:beta])


def test_it_averages_around_the_median_of_those_selected() -> None:
    # MultiKrum drops [3.5, 3] and [100, -50]; of five, the three closest to [2.5, 8] count.
    arrays, metrics = Bulyan(num_malicious_nodes=1).aggregate_train(1, replies(SEVEN))

    assert floats(arrays) == pytest.approx([(2 + 2.5 + 3) / 3, (9 + 8 + 7.5) / 3])
    assert metrics == {"loss": pytest.approx((0 + 2 + 6 + 12 + 20) / 15)}


def test_without_malicious_nodes_it_is_the_plain_mean() -> None:
    arrays, _ = Bulyan().aggregate_train(1, replies(SEVEN[:3]))

    assert floats(arrays) == [2, 9]


def test_a_rule_of_the_apps_own_is_told_how_many_to_select() -> None:
    asked = []

    def rule(contents: list[RecordDict], f: int, count: int) -> list[RecordDict]:
        asked.append((len(contents), f, count))
        return contents[1 : count + 1]

    arrays, metrics = Bulyan(num_malicious_nodes=1, selection_rule=rule).aggregate_train(
        1, replies(SEVEN)
    )

    assert asked == [(7, 1, 5)]
    wanted = [closest_by_hand([row[i] for row in SEVEN[1:6]], 3) for i in (0, 1)]
    assert floats(arrays) == pytest.approx(wanted)
    assert metrics == {"loss": pytest.approx((2 + 6 + 12 + 20 + 30) / 20)}


@pytest.mark.parametrize(("f", "count"), [(1, 6), (0, 2), (0, 0), (2, 10)])
def test_too_few_replies_skip_the_round(
    f: int, count: int, caplog: pytest.LogCaptureFixture
) -> None:
    given_replies = replies((SEVEN * 2)[:count])

    assert Bulyan(num_malicious_nodes=f).aggregate_train(1, given_replies) == (None, None)
    assert f"{count} replies are fewer than the {4 * f + 3}" in caplog.messages[-1]


def test_failures_do_not_count_as_replies() -> None:
    with_failure = [*replies(SEVEN[:6]), failure()]

    assert Bulyan(num_malicious_nodes=1).aggregate_train(1, with_failure) == (None, None)


def test_a_rule_that_selects_too_few_is_an_error() -> None:
    def rule(contents: list[RecordDict], f: int, count: int) -> list[RecordDict]:
        return contents[:2]

    with pytest.raises(AggregationError, match="returned 2 replies, but 3"):
        Bulyan(num_malicious_nodes=1, selection_rule=rule).aggregate_train(1, replies(SEVEN))


def test_bad_arguments_and_replies_are_refused() -> None:
    with pytest.raises(ValueError, match="num_malicious_nodes is -1"):
        Bulyan(num_malicious_nodes=-1)
    with pytest.raises(InconsistentMessageReplies, match="shape"):
        Bulyan().aggregate_train(1, replies([[1.0], [1.0, 2.0], [1.0]]))


@pytest.mark.parametrize(
    ("dtype", "wanted"), [("float16", "float16"), ("float32", "float32"), ("int64", "float64")]
)
def test_floats_keep_their_type(dtype: str, wanted: str) -> None:
    arrays, _ = Bulyan().aggregate_train(1, replies(SEVEN, dtype))

    assert arrays is not None
    assert arrays["0"].dtype == wanted


def test_metrics_are_folded_over_those_selected() -> None:
    def count(contents: list[RecordDict], key: str) -> MetricRecord:
        return MetricRecord({key: len(contents)})

    strategy = Bulyan(num_malicious_nodes=1, train_metrics_aggr_fn=count)

    assert strategy.aggregate_train(1, replies(SEVEN))[1] == {"num-examples": 5}


@settings(deadline=None)
@given(
    # Distinct whole numbers and a center off the grid: no two are equally close.
    st.lists(st.integers(-1000, 1000), min_size=1, max_size=9, unique=True),
    st.integers(1, 9),
)
def test_the_closest_agree_with_plain_python_in_any_order(values: list[int], beta: int) -> None:
    beta = min(beta, len(values))
    center = np.array([values[0] + 0.25])
    wanted = mean(sorted(values, key=lambda value: abs(value - float(center[0])))[:beta])
    rows = np.array(values, np.float64).reshape(-1, 1)

    closest = mean_of_closest(center, rows, beta)

    np.testing.assert_allclose(closest, [wanted], rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(mean_of_closest(center, rows[::-1], beta), closest, atol=1e-9)


def test_models_may_be_lists_of_arrays() -> None:
    center = [np.array([2.0, 2.0]), np.array(5.0)]
    models = [
        [np.array([1.0, 3.5]), np.array(5.5)],
        [np.array([3.5, 1.0]), np.array(4.0)],
        [np.array([2.0, 9.0]), np.array(5.0)],
    ]

    means = aggregate_n_closest_weights(center, models, 2)

    assert [array.tolist() for array in means] == [[1.5, 2.25], 5.25]


def test_the_summary_shows_the_rule(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "flwr"):
        Bulyan(num_malicious_nodes=2).summary()
        Bulyan(selection_rule=first_few).summary()

    assert caplog.messages[:3] == [
        "\t├──> Bulyan settings:",
        "\t│\t├── Number of malicious nodes: 2",
        "\t│\t└── Selection rule: select_multikrum",
    ]
    assert "\t│\t└── Selection rule: first_few" in caplog.messages
