"""Krum and MultiKrum."""

import logging

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.serverapp.exception import InconsistentMessageReplies
from flwr.serverapp.strategy import Krum, MultiKrum
from flwr.serverapp.strategy.multikrum import compute_distances, select_multikrum
from tests.unit.serverapp.strategy.given_replies import failure, floats, model, reply, weighted

FIVE = [[1.0, 10.0], [2.0, 9.0], [3.0, 8.0], [4.0, 7.0], [100.0, -50.0]]
"""Squared distances: 2, 8 or 18 between neighbours on the line, above 10 000 to the last."""


def replies(models: list[list[float]], dtype: str = "float32") -> list[Message]:
    return [
        reply(weighted(model(*values, dtype=dtype), index + 1, loss=float(index)))
        for index, values in enumerate(models)
    ]


def best_by_hand(models: list[list[float]], f: int, keep: int) -> list[int]:
    """Score each model by its nearest others, in plain Python."""
    scores = []
    for i, one in enumerate(models):
        others = sorted(
            sum((a - b) ** 2 for a, b in zip(one, other, strict=True))
            for j, other in enumerate(models)
            if j != i
        )
        scores.append(sum(others[: max(1, len(models) - f - 2)]))
    return sorted(range(len(models)), key=lambda i: scores[i])[:keep]


@pytest.mark.parametrize(
    ("f", "keep", "wanted", "loss"),
    [
        (0, 1, [2.0, 9.0], 1.0),  # three nearest: 26, 12, 12, 28 and far; the earlier 12
        (1, 1, [2.0, 9.0], 1.0),  # two nearest: 10, 4, 4, 10
        (2, 1, [1.0, 10.0], 0.0),  # the nearest: 2, 2, 2, 2
        (0, 2, [2.6, 8.4], 1.6),  # weights 2 and 3
        (0, 9, [106 / 3, -34 / 3], 40 / 15),  # all
        (9, 1, [1.0, 10.0], 0.0),  # still one nearest
    ],
)
def test_the_models_nearest_to_the_others_are_kept(
    f: int, keep: int, wanted: list[float], loss: float
) -> None:
    strategy = MultiKrum(num_malicious_nodes=f, num_nodes_to_select=keep)

    arrays, metrics = strategy.aggregate_train(1, replies(FIVE))

    assert floats(arrays) == pytest.approx(wanted)
    assert metrics == {"loss": pytest.approx(loss)}


def test_krum_keeps_one_as_it_is() -> None:
    strategy = Krum(num_malicious_nodes=1)

    arrays, metrics = strategy.aggregate_train(1, [failure(), *replies(FIVE)])

    assert floats(arrays) == [2.0, 9.0]
    assert metrics == {"loss": 1.0}
    assert strategy.num_nodes_to_select == 1


@pytest.mark.parametrize("count", [1, 2])
def test_few_replies_are_still_aggregated(count: int) -> None:
    assert floats(Krum().aggregate_train(1, replies(FIVE[:count]))[0]) == [1.0, 10.0]


def test_no_replies_give_nothing() -> None:
    assert MultiKrum().aggregate_train(1, []) == (None, None)
    assert MultiKrum().aggregate_train(1, [failure()]) == (None, None)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_model_that_is_not_finite_scores_worst(bad: float) -> None:
    strategy = MultiKrum(num_malicious_nodes=1, num_nodes_to_select=3)

    arrays, _ = strategy.aggregate_train(1, replies([[bad], [1.0], [1.5], [4.0], [4.0]]))

    assert arrays is not None
    assert np.isfinite(arrays["0"].numpy()).all()


def test_metrics_are_folded_over_those_kept() -> None:
    def count(contents: list[RecordDict], key: str) -> MetricRecord:
        return MetricRecord({key: len(contents)})

    strategy = MultiKrum(num_nodes_to_select=2, train_metrics_aggr_fn=count)

    assert strategy.aggregate_train(1, replies(FIVE))[1] == {"num-examples": 2}


@pytest.mark.parametrize(
    ("dtype", "far"), [("float16", 1000.0**2), ("uint8", 190.0**2), ("int64", 1000.0**2)]
)
def test_distances_do_not_overflow(dtype: str, far: float) -> None:
    low, high = (10, 200) if dtype == "uint8" else (0, 1000)

    distances = compute_distances([model(low, dtype=dtype), model(high, dtype=dtype)])

    assert distances.tolist() == [[0, far], [far, 0]]


def test_all_arrays_count_and_go_by_their_names() -> None:
    def named(**values: list[float]) -> ArrayRecord:
        return ArrayRecord({name: Array(np.array(value)) for name, value in values.items()})

    distances = compute_distances([named(a=[0, 1], b=[2]), named(b=[4], a=[3, 1])])

    assert distances.tolist() == [[0, 13], [13, 0]]


def test_differing_shapes_are_an_error() -> None:
    with pytest.raises(InconsistentMessageReplies, match="shape"):
        MultiKrum().aggregate_train(1, replies([[1], [1, 2]]))


@pytest.mark.parametrize("make", [Krum, MultiKrum])
def test_a_negative_number_of_malicious_nodes_is_refused(make: type[MultiKrum]) -> None:
    with pytest.raises(ValueError, match="num_malicious_nodes is -1"):
        make(num_malicious_nodes=-1)
    with pytest.raises(ValueError, match="num_nodes_to_select is 0"):
        MultiKrum(num_nodes_to_select=0)


# Coarse floats: their squares are exact, so that equal scores are equal in every order.
COARSE = st.integers(-1000, 1000).map(lambda x: x / 8)


@settings(deadline=None)
@given(
    st.lists(st.tuples(COARSE, COARSE), min_size=1, max_size=7, unique=True),
    st.integers(0, 3),
    st.integers(1, 7),
)
def test_selection_agrees_with_plain_python(
    points: list[tuple[float, float]], f: int, keep: int
) -> None:
    models = [list(point) for point in points]
    contents = [message.content for message in replies(models, "float64")]

    kept = select_multikrum(contents, f, keep)

    assert kept == [contents[i] for i in best_by_hand(models, f, keep)]


@settings(deadline=None)
@given(st.integers(2, 6).flatmap(lambda n: st.permutations(range(n))), st.integers(0, 99))
def test_the_order_of_replies_does_not_matter(order: list[int], seed: int) -> None:
    models: NDArray[np.float64] = np.random.default_rng(seed).normal(size=(len(order), 3))
    strategy = MultiKrum(num_nodes_to_select=2)

    def aggregated(ordered: list[list[float]]) -> list[float]:
        contents = [weighted(model(*values, dtype="float64")) for values in ordered]
        return floats(strategy.aggregate_train(1, map(reply, contents))[0])

    shuffled = aggregated([models[i].tolist() for i in order])

    # With two models both score alike, so any may be first; with more, scores are distinct.
    np.testing.assert_allclose(shuffled, aggregated(models.tolist()), rtol=1e-9)


def test_the_summary_shows_the_settings(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "flwr"):
        Krum(num_malicious_nodes=3).summary()

    assert caplog.messages[:6] == [
        "\t├──> Krum settings:",
        "\t│\t└── Number of malicious nodes: 3",
        "\t├──> MultiKrum settings:",
        "\t│\t├── Number of malicious nodes: 3",
        "\t│\t└── Number of nodes to select: 1",
        "\t├──> Sampling:",
    ]
