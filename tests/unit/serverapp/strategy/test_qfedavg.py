import logging
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp.exception import AggregationError
from flwr.serverapp.strategy import QFedAvg
from flwr.serverapp.strategy.qfedavg import FairStep
from tests.unit.serverapp.fake_grid import FakeGrid
from tests.unit.serverapp.strategy.given_replies import failure, floats, model, reply, weighted

Client = tuple[list[float], float]
"""Model and loss."""


def trained(
    strategy: QFedAvg, sent: ArrayRecord, replies: list[Message]
) -> tuple[ArrayRecord | None, MetricRecord | None]:
    strategy.configure_train(1, sent, ConfigRecord(), FakeGrid(2, lambda _: None))
    return strategy.aggregate_train(1, replies)


def replies(clients: list[Client], dtype: str = "float64") -> list[Message]:
    return [reply(weighted(model(*w, dtype=dtype), 1, train_loss=loss)) for w, loss in clients]


def step_by_hand(old: list[float], clients: list[Client], lr: float, q: float) -> list[float]:
    lipschitz = 1 / lr
    deltas, total_h = [0.0] * len(old), 0.0
    for local, loss in clients:
        f = loss + 1e-10
        gradient = [lipschitz * (o - x) for o, x in zip(old, local, strict=True)]
        deltas = [d + f**q * g for d, g in zip(deltas, gradient, strict=True)]
        norm = sum(g * g for g in gradient)
        total_h += q * f ** (q - 1) * norm + lipschitz * f**q
    return [o - d / total_h for o, d in zip(old, deltas, strict=True)]


def test_one_step_by_hand() -> None:
    # L = 1, q = 1, g = (0 - 3, 0 - 4), F = 2: delta = 2 g, h = 25 + 2; new = 0 + (6, 8) / 27.
    arrays, metrics = trained(
        QFedAvg(client_learning_rate=1.0, q=1.0), model(0, 0), replies([([3, 4], 2.0)])
    )

    assert floats(arrays) == pytest.approx([6 / 27, 8 / 27])
    assert metrics == {"train_loss": 2.0}


def test_with_q_of_zero_it_is_the_unweighted_mean() -> None:
    clients = replies([([2, 4], 0.1), ([4, -2], 9.0)])

    arrays, _ = trained(QFedAvg(0.3, q=0.0), model(1, 2), clients)

    assert floats(arrays) == pytest.approx([3, 1])


def test_a_client_of_higher_loss_moves_the_model_more() -> None:
    clients = replies([([1.0], 5.0), ([-1.0], 1.0)])

    fair, _ = trained(QFedAvg(0.1, q=2.0), model(0, dtype="float64"), clients)

    assert floats(fair)[0] > 0


WEIGHT = st.floats(-9, 9)
CLIENTS = st.lists(
    st.tuples(st.lists(WEIGHT, min_size=2, max_size=2), st.floats(0, 9)), min_size=1, max_size=5
)


@settings(deadline=None)
@given(st.lists(WEIGHT, min_size=2, max_size=2), CLIENTS, st.floats(0.01, 1), st.floats(0, 3))
def test_it_agrees_with_the_formula_in_any_order(
    old: list[float], clients: list[Client], lr: float, q: float
) -> None:
    sent = model(*old, dtype="float64")
    wanted = step_by_hand(old, clients, lr, q)

    arrays, _ = trained(QFedAvg(lr, q), sent, replies(clients))
    reverse, _ = trained(QFedAvg(lr, q), sent, replies(clients[::-1]))

    np.testing.assert_allclose(floats(arrays), wanted, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(floats(reverse), wanted, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("dtype", "wanted"), [("float16", "float16"), ("float32", "float32"), ("int64", "float64")]
)
def test_floats_keep_their_type(dtype: str, wanted: str) -> None:
    sent = model(1, 2, dtype=dtype)

    # L of 1000 would overflow the squares of float16.
    arrays, _ = trained(QFedAvg(0.001), sent, replies([([2, 4], 0.1)], dtype))

    assert arrays is not None
    assert arrays["0"].dtype == wanted
    assert np.isfinite(arrays["0"].numpy()).all()


@pytest.mark.parametrize(
    ("key", "loss"),
    [
        ("other", 1.0),
        ("train_loss", [1.0]),
        ("train_loss", float("nan")),
        ("train_loss", float("inf")),
        ("train_loss", -1.0),
    ],
)
def test_a_loss_that_is_missing_or_none_of_its_kind_is_an_error(key: str, loss: Any) -> None:
    bad = reply(weighted(model(1, 2), 1, **{key: loss}))

    with pytest.raises(AggregationError, match="'train_loss'"):
        trained(QFedAvg(0.1), model(1, 2), [bad])


def test_the_loss_may_have_another_name_and_be_whole() -> None:
    good = reply(weighted(model(1, 2), 1, l=1))

    assert floats(trained(QFedAvg(0.1, train_loss_key="l"), model(1, 2), [good])[0]) == [1, 2]


def test_a_step_needs_a_model_sent_that_fits() -> None:
    clients = replies([([1, 2], 0.1)])
    with pytest.raises(AggregationError, match="configure_train"):
        QFedAvg(0.1).aggregate_train(1, clients)
    for sent in (model(1), ArrayRecord(), ArrayRecord([np.ones(2), np.ones(2)])):
        with pytest.raises(AggregationError, match="the model sent"):
            trained(QFedAvg(0.1), sent, clients)


def test_no_replies_give_nothing() -> None:
    assert trained(QFedAvg(0.1), model(1), []) == (None, None)
    assert trained(QFedAvg(0.1), model(1), [failure()]) == (None, None)


def test_arguments_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="client_learning_rate is 0"):
        QFedAvg(0)
    with pytest.raises(ValueError, match="q is -1"):
        QFedAvg(0.1, q=-1)


def test_many_replies_need_memory_for_few() -> None:
    size, clients = 500_000, 12
    local = ArrayRecord({"w": Array(np.ones(size, np.float32))})

    tracemalloc.start()
    try:
        step = FairStep({"w": np.zeros(size, np.float32)}, 10.0, 0.1)
        for _ in range(clients):
            step.add(local, 0.5)
        peak_bytes = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert peak_bytes < 4.5 * 4 * size  # the model, the sum, one reply and its gradient


def test_the_summary_shows_the_settings(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "flwr"):
        QFedAvg(0.1).summary()

    assert caplog.messages[:4] == [
        "\t├──> q-FedAvg settings:",
        "\t│\t├── client_learning_rate: 0.1",
        "\t│\t├── q: 0.1",
        "\t│\t└── train_loss_key: 'train_loss'",
    ]
