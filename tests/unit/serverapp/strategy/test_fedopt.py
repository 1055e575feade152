"""FedAdagrad, FedAdam and FedYogi, against their formulas written out per element."""

import logging
from collections.abc import Callable
from math import copysign, sqrt

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flwr.app import ArrayRecord, ConfigRecord
from flwr.serverapp.exception import AggregationError
from flwr.serverapp.strategy import FedAdagrad, FedAdam, FedYogi
from flwr.serverapp.strategy.fedopt import FedOpt
from tests.unit.serverapp.fake_grid import FakeGrid
from tests.unit.serverapp.strategy.given_replies import failure, floats, model, reply, weighted

Moments = tuple[float, float]
Rule = Callable[[int, Moments, float], tuple[Moments, float]]


def adagrad(_: int, moments: Moments, delta: float) -> tuple[Moments, float]:
    v = moments[1] + delta**2
    return (delta, v), 0.1 * delta / (sqrt(v) + 1e-3)


def adam(t: int, moments: Moments, delta: float) -> tuple[Moments, float]:
    m, v = 0.9 * moments[0] + 0.1 * delta, 0.99 * moments[1] + 0.01 * delta**2
    eta = 0.1 * sqrt(1 - 0.99 ** (t + 1)) / (1 - 0.9 ** (t + 1))
    return (m, v), eta * m / (sqrt(v) + 1e-3)


def yogi(_: int, moments: Moments, delta: float) -> tuple[Moments, float]:
    m = 0.9 * moments[0] + 0.1 * delta
    difference = moments[1] - delta**2
    sign = copysign(1, difference) if difference else 0
    v = moments[1] - 0.01 * delta**2 * sign
    return (m, v), 0.01 * m / (sqrt(v) + 1e-3)


def rounds(strategy: FedOpt, old: float, targets: list[float]) -> list[float]:
    """Send the model, get ``target`` back, and so on; return the models."""
    arrays, models = model(old, dtype="float64"), []
    for server_round, target in enumerate(targets, start=1):
        strategy.configure_train(server_round, arrays, ConfigRecord(), FakeGrid(2, lambda _: None))
        trained = reply(weighted(model(target, dtype="float64")))
        after, _ = strategy.aggregate_train(server_round, [trained])
        assert after is not None
        arrays = after
        models += floats(after)
    return models


@pytest.mark.parametrize(
    ("strategy", "rule"), [(FedAdagrad, adagrad), (FedAdam, adam), (FedYogi, yogi)]
)
@settings(deadline=None)
@given(old=st.floats(-9, 9), targets=st.lists(st.floats(-9, 9), min_size=1, max_size=4))
def test_each_round_is_one_step_of_the_optimizer(
    strategy: type[FedOpt], rule: Rule, old: float, targets: list[float]
) -> None:
    wanted, moments = [old], (0.0, 0.0)
    for t, target in enumerate(targets, start=1):
        moments, step = rule(t, moments, target - wanted[-1])
        wanted.append(wanted[-1] + step)

    np.testing.assert_allclose(rounds(strategy(), old, targets), wanted[1:], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("strategy", "wanted"),
    [
        # From 0 to a mean of 1: delta is 1, and tau is left out.
        (FedAdagrad(eta=1.0, tau=0.0), 1.0),  # m = v = 1
        # m = 0.5, v = 0.25; eta is sqrt(1 - 0.75^2) / (1 - 0.5^2)
        (FedAdam(eta=1.0, beta_1=0.5, beta_2=0.75, tau=0.0), 0.881917),
        (FedYogi(eta=1.0, beta_1=0.5, beta_2=0.5, tau=0.0), 0.5 / sqrt(0.5)),  # m = v = 0.5
        (FedYogi(eta=1.0, beta_1=0.5, beta_2=0.5, tau=1.0), 0.5 / (sqrt(0.5) + 1)),
    ],
)
def test_the_first_step_by_hand(strategy: FedOpt, wanted: float) -> None:
    assert rounds(strategy, 0.0, [1.0]) == pytest.approx([wanted], rel=1e-6)


def test_adagrad_steps_shorter_and_shorter() -> None:
    # Changes of 3 and then 4: v is 9, then 25.
    models = rounds(FedAdagrad(eta=1.0, tau=0.0), 0.0, [3.0, 5.0])

    assert models == pytest.approx([1.0, 1.0 + 4 / 5])


@pytest.mark.parametrize("strategy", [FedAdagrad, FedAdam, FedYogi])
@pytest.mark.parametrize(
    ("dtype", "wanted"), [("float16", "float16"), ("float32", "float32"), ("int64", "float64")]
)
def test_floats_keep_their_type(strategy: type[FedOpt], dtype: str, wanted: str) -> None:
    opt, grid = strategy(), FakeGrid(2, lambda _: None)
    opt.configure_train(1, model(1, dtype=dtype), ConfigRecord(), grid)

    arrays, _ = opt.aggregate_train(1, [reply(weighted(model(2, dtype=dtype)))])

    assert arrays is not None
    assert arrays["0"].dtype == wanted


@pytest.mark.parametrize("strategy", [FedAdagrad, FedYogi])
def test_a_step_needs_a_model_sent_that_fits(strategy: type[FedOpt]) -> None:
    replies = [reply(weighted(model(1, 2)))]
    with pytest.raises(AggregationError, match="configure_train"):
        strategy().aggregate_train(1, replies)
    for sent in (model(1), ArrayRecord()):
        opt = strategy()
        opt.configure_train(1, sent, ConfigRecord(), FakeGrid(2, lambda _: None))
        with pytest.raises(AggregationError, match="the model sent"):
            opt.aggregate_train(1, replies)


@pytest.mark.parametrize("strategy", [FedAdagrad, FedYogi])
def test_a_round_without_models_leaves_the_moments(strategy: type[FedOpt]) -> None:
    opt = strategy()
    assert opt.aggregate_train(1, [failure()]) == (None, None)
    assert opt.m_t is None


def test_the_summary_shows_the_learning_rates(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "flwr"):
        FedYogi().summary()
        FedAdagrad().summary()

    assert "\t│\t├── eta (0.01) | eta_l (0.0316)" in caplog.messages
    assert "\t│\t├── beta_1 (0.9) | beta_2 (0.99)" in caplog.messages
    assert "\t│\t├── beta_1 (0) | beta_2 (0)" in caplog.messages
