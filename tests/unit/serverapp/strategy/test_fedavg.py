import logging
from collections.abc import Iterable
from typing import Any

import pytest

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.exception import AggregationError
from flwr.serverapp.strategy import FedAdam, FedAvg, FedAvgM, FedProx
from tests.unit.serverapp.fake_grid import FakeGrid
from tests.unit.serverapp.strategy.given_replies import (
    failure,
    floats,
    model,
    reply,
    spread,
    weighted,
)


def grid(nodes: int = 10) -> FakeGrid:
    return FakeGrid(nodes, lambda _: None)


@pytest.mark.parametrize(
    ("fraction", "at_least", "wanted"), [(1.0, 2, 10), (0.5, 2, 5), (0.29, 2, 2), (0.1, 4, 4)]
)
def test_the_cohort_is_a_fraction_of_the_nodes_but_not_too_small(
    fraction: float, at_least: int, wanted: int
) -> None:
    strategy = FedAvg(fraction_train=fraction, min_train_nodes=at_least)

    messages = list(strategy.configure_train(3, model(1), ConfigRecord(), grid()))

    assert len({message.metadata.dst_node_id for message in messages}) == wanted


def test_all_messages_share_one_content_with_model_and_round() -> None:
    arrays, config = model(1), ConfigRecord({"lr": 0.1})
    strategy = FedAvg(arrayrecord_key="a", configrecord_key="c")

    train = list(strategy.configure_train(3, arrays, config, grid()))
    evaluate = list(strategy.configure_evaluate(4, arrays, ConfigRecord(), grid()))

    assert {message.metadata.message_type for message in train} == {"train"}
    assert {message.metadata.message_type for message in evaluate} == {"evaluate"}
    assert len({id(message.content) for message in train}) == 1
    assert train[0].content["a"] is arrays
    assert train[0].content["c"] == config == {"lr": 0.1, "server-round": 3}
    assert evaluate[0].content["c"] == {"server-round": 4}


def test_a_fraction_of_zero_skips_that_half(caplog: pytest.LogCaptureFixture) -> None:
    strategy = FedAvg(fraction_train=0.0, fraction_evaluate=0.0)

    assert caplog.messages == [
        "fraction_evaluate is set to 0.0. Federated evaluation will be skipped.",
        "fraction_train is set to 0.0. Federated training will be skipped.",
    ]
    assert (strategy.min_train_nodes, strategy.min_evaluate_nodes) == (0, 0)
    empty = grid(0)
    assert list(strategy.configure_train(1, model(1), ConfigRecord(), empty)) == []
    assert list(strategy.configure_evaluate(1, model(1), ConfigRecord(), empty)) == []


def test_metrics_may_be_folded_by_the_app() -> None:
    def count(contents: list[RecordDict], key: str) -> MetricRecord:
        return MetricRecord({key: len(contents)})

    strategy = FedAvg(train_metrics_aggr_fn=count, evaluate_metrics_aggr_fn=count)

    assert strategy.aggregate_train(1, spread())[1] == {"num-examples": 3}
    assert strategy.aggregate_evaluate(1, spread()) == {"num-examples": 3}


def test_replies_may_come_as_any_iterable_and_failures_do_not_count() -> None:
    arrays, metrics = FedAvg().aggregate_train(1, iter([failure(), reply(weighted(model(3), 5))]))

    assert floats(arrays) == [3.0]
    assert metrics == {}


@pytest.mark.parametrize("replies", [[], [failure(), failure()]])
def test_nothing_to_fold_gives_nothing(replies: list[Message]) -> None:
    for strategy in (FedAvg(), FedAvgM(server_momentum=0.5), FedAdam()):
        assert strategy.aggregate_train(1, replies) == (None, None)
        assert strategy.aggregate_evaluate(1, replies) is None


@pytest.mark.row("S42")
def test_a_subclass_may_choose_nodes_and_fold_in_its_own_way() -> None:
    class FirstOnly(FedAvg):
        def configure_train(
            self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
        ) -> Iterable[Message]:
            config["lr"] = 1 / server_round
            return list(super().configure_train(server_round, arrays, config, grid))[:1]

        def aggregate_train(
            self, server_round: int, replies: Iterable[Message]
        ) -> tuple[ArrayRecord | None, MetricRecord | None]:
            return super().aggregate_train(server_round, list(replies)[:1])

    strategy = FirstOnly(fraction_train=0.5)

    (message,) = strategy.configure_train(4, model(1), ConfigRecord(), grid())
    assert message.content["config"] == {"server-round": 4, "lr": 0.25}
    assert floats(strategy.aggregate_train(4, spread())[0]) == [2.0, 4.0]


def test_fedprox_sends_mu_when_training_only(caplog: pytest.LogCaptureFixture) -> None:
    strategy = FedProx(proximal_mu=0.3)
    assert caplog.messages == []

    train = list(strategy.configure_train(1, model(1), ConfigRecord(), grid()))
    evaluate = list(strategy.configure_evaluate(1, model(1), ConfigRecord(), grid()))

    assert train[0].content["config"] == {"proximal-mu": 0.3, "server-round": 1}
    assert evaluate[0].content["config"] == {"server-round": 1}
    FedProx()
    assert "FedAvg" in caplog.text


@pytest.mark.parametrize("make", [FedAdam, lambda: FedAvgM(server_momentum=0.9)])
def test_a_step_needs_the_model_it_starts_from(make: Any) -> None:
    with pytest.raises(AggregationError, match="configure_train"):
        make().aggregate_train(1, spread())


@pytest.mark.parametrize("make", [FedAdam, lambda: FedAvgM(server_momentum=0.9)])
@pytest.mark.parametrize("sent", [model(1, 2, 3), ArrayRecord()])
def test_a_step_needs_replies_that_fit_the_model(make: Any, sent: ArrayRecord) -> None:
    strategy = make()
    strategy.configure_train(1, sent, ConfigRecord(), grid())

    with pytest.raises(AggregationError, match="the model sent"):
        strategy.aggregate_train(1, spread())


SAMPLING = [
    "\t├──> Sampling:",
    "\t│\t├──Fraction: train (1.00) | evaluate ( 1.00)",
    "\t│\t├──Minimum nodes: train (2) | evaluate (2)",
    "\t│\t└──Minimum available nodes: 2",
    "\t└──> Keys in records:",
    "\t\t├── Weighted by: 'num-examples'",
    "\t\t├── ArrayRecord key: 'arrays'",
    "\t\t└── ConfigRecord key: 'config'",
]


@pytest.mark.parametrize(
    ("strategy", "settings"),
    [
        (FedAvg(), []),
        (
            FedProx(proximal_mu=0.1),
            ["\t├──> FedProx settings:", "\t│\t└── Proximal mu: 0.1"],
        ),
        (
            FedAdam(),
            [
                "\t├──> FedOpt settings:",
                "\t│\t├── eta (0.1) | eta_l (0.1)",
                "\t│\t├── beta_1 (0.9) | beta_2 (0.99)",
                "\t│\t└── tau (0.001)",
            ],
        ),
        (
            FedAvgM(server_momentum=0.9, server_learning_rate=0.5),
            [
                "\t├──> FedAvgM settings:",
                "\t│\t├── Server optimization: ON",
                "\t│\t├── Server learning rate: 0.5",
                "\t│\t└── Server Momentum: 0.9",
            ],
        ),
    ],
)
def test_the_summary_shows_the_settings(
    strategy: FedAvg, settings: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, "flwr"):
        strategy.summary()

    assert caplog.messages == settings + SAMPLING
