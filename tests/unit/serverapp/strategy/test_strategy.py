import logging
import re

import pytest

from flwr.app import ArrayRecord, ConfigRecord, Error, Message, MetricRecord, RecordDict
from flwr.serverapp.strategy import FedAvg, Result
from tests.unit.serverapp.fake_grid import FakeGrid
from tests.unit.serverapp.strategy.given_replies import floats, model, weighted


def training(message: Message) -> Message:
    """Add 1 to the model, or 3 with a third of the weight on the second node."""
    node = message.metadata.dst_node_id
    if message.metadata.message_type == "evaluate":
        return Message(weighted(None, 1, loss=float(node - 100)), reply_to=message)
    arrays = message.content["arrays"]
    assert isinstance(arrays, ArrayRecord)
    step = 1 if node == 101 else 3
    trained = model(*(value + step for value in floats(arrays)))
    weight = 3 if node == 101 else 1
    return Message(weighted(trained, weight, loss=0.5), reply_to=message)


def test_each_round_trains_and_evaluates_the_latest_model(caplog: pytest.LogCaptureFixture) -> None:
    grid = FakeGrid(2, training)
    central = []

    def evaluate(server_round: int, arrays: ArrayRecord) -> MetricRecord | None:
        central.append((server_round, floats(arrays)))
        return MetricRecord({"round": server_round}) if server_round else None

    with caplog.at_level(logging.INFO, "flwr"):
        result = FedAvg().start(
            grid,
            model(0, 1),
            num_rounds=2,
            train_config=ConfigRecord({"lr": 0.1, "secret": b"x"}),
            evaluate_fn=evaluate,
        )

    assert central == [(0, [0, 1]), (1, [1.5, 2.5]), (2, [3, 4])]
    assert floats(result.arrays) == [3, 4]
    assert result.train_metrics_clientapp == {1: {"loss": 0.5}, 2: {"loss": 0.5}}
    assert result.evaluate_metrics_clientapp == {1: {"loss": 1.5}, 2: {"loss": 1.5}}
    assert result.evaluate_metrics_serverapp == {1: {"round": 1}, 2: {"round": 2}}
    assert [m.metadata.message_type for m in grid.sent] == (["train"] * 2 + ["evaluate"] * 2) * 2
    sent = [m.content["arrays"] for m in grid.sent]
    assert [floats(a) for a in sent if isinstance(a, ArrayRecord)] == (
        [[0, 1]] * 2 + [[1.5, 2.5]] * 4 + [[3, 4]] * 2
    )
    assert progress(caplog) == EXPECTED_PROGRESS


def progress(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [re.sub(r"in \d+\.\d\ds", "in 0.00s", line) for line in caplog.messages]


def one_round(number: int) -> list[str]:
    return [
        "",
        f"[ROUND {number}/2]",
        "configure_train: Sampled 2 nodes (out of 2)",
        "aggregate_train: Received 2 results and 0 failures",
        "\t└──> Aggregated MetricRecord: {'loss': 0.5}",
        "configure_evaluate: Sampled 2 nodes (out of 2)",
        "aggregate_evaluate: Received 2 results and 0 failures",
        "\t└──> Aggregated MetricRecord: {'loss': 1.5}",
        "Global evaluation",
        f"\t└──> MetricRecord: {{'round': {number}}}",
    ]


EXPECTED_PROGRESS = [
    "Starting FedAvg strategy:",
    "\t├── Number of rounds: 2",
    "\t├── ArrayRecord (0.00 MB)",
    "\t├── ConfigRecord (train): {'lr': 0.1, 'secret': <bytes>}",
    "\t├── ConfigRecord (evaluate): (empty!)",
    "\t├──> Sampling:",
    "\t│\t├──Fraction: train (1.00) | evaluate ( 1.00)",
    "\t│\t├──Minimum nodes: train (2) | evaluate (2)",
    "\t│\t└──Minimum available nodes: 2",
    "\t└──> Keys in records:",
    "\t\t├── Weighted by: 'num-examples'",
    "\t\t├── ArrayRecord key: 'arrays'",
    "\t\t└── ConfigRecord key: 'config'",
    "",
    "Initial global evaluation results: None",
    *one_round(1),
    *one_round(2),
    "",
    "Strategy execution finished in 0.00s",
    "",
    "Final results:",
    "",
    "\tGlobal Arrays:",
    "\t\tArrayRecord (0.000 MB)",
    "\t",
    "\tAggregated ClientApp-side Train Metrics:",
    "\t{1: {'loss': '5.0000e-01'}, 2: {'loss': '5.0000e-01'}}",
    "\t",
    "\tAggregated ClientApp-side Evaluate Metrics:",
    "\t{1: {'loss': '1.5000e+00'}, 2: {'loss': '1.5000e+00'}}",
    "\t",
    "\tServerApp-side Evaluate Metrics:",
    "\t{1: {'round': '1'}, 2: {'round': '2'}}",
    "",
]


def test_a_round_without_good_replies_keeps_the_model() -> None:
    grid = FakeGrid(2, lambda m: Message(Error(2, "boom"), reply_to=m))

    result = FedAvg().start(grid, model(1), num_rounds=2)

    assert len(result.arrays) == 0  # nothing was ever aggregated
    assert result.train_metrics_clientapp == {}
    sent = [m.content["arrays"] for m in grid.sent]
    assert len(sent) == 8
    assert all(arrays == model(1) for arrays in sent)


def test_the_same_config_is_sent_every_round() -> None:
    config = ConfigRecord({"lr": 1.0})
    grid = FakeGrid(2, training)

    FedAvg(fraction_evaluate=0.0).start(grid, model(1), 2, train_config=config)

    assert config == {"lr": 1.0, "server-round": 2}
    assert all(message.content["config"] is config for message in grid.sent)


def test_silent_nodes_do_not_hold_a_round_beyond_its_timeout() -> None:
    grid = FakeGrid(2, lambda m: training(m) if m.metadata.dst_node_id == 101 else None)

    result = FedAvg(fraction_evaluate=0.0).start(grid, model(1), 1, timeout=30)

    assert floats(result.arrays) == [2]
    assert grid.clock.monotonic() == pytest.approx(30, abs=1e-3)


def test_a_result_prints_floats_short() -> None:
    metrics = MetricRecord({"n": 1, "loss": 3.14159265, "l": [1.5, 2.0], "none": []})
    result = Result(arrays=ArrayRecord(), train_metrics_clientapp={1: metrics})

    flat = " ".join(str(result).split())
    assert "'loss': '3.1416e+00'" in flat
    assert "'l': \"['1.5000e+00', '2.0000e+00']\"" in flat
    assert "'n': '1'" in flat
    assert str(Result()).endswith("ServerApp-side Evaluate Metrics:\n{}\n")


def test_content_is_a_recorddict() -> None:
    grid = FakeGrid(2, training)
    FedAvg().start(grid, model(1), 1)
    assert isinstance(grid.sent[0].content, RecordDict)
