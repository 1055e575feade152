"""Replies that are taken one by one while nodes are still at work."""

import weakref
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pytest

from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.serverapp.exception import InconsistentMessageReplies
from flwr.serverapp.strategy import FedAdam, FedAvg, FedAvgM, FedMedian, FedProx
from flwr.serverapp.strategy.result import Result
from flwr.serverapp.strategy.strategy import folding
from tests.unit.serverapp.fake_grid import FakeGrid
from tests.unit.serverapp.strategy.given_replies import failure, floats, model, reply, weighted


class StreamingGrid(FakeGrid):
    """Hands out replies one by one; ``alive`` is the most that were in memory at a time."""

    def __init__(self, nodes: int) -> None:
        super().__init__(nodes, lambda _: None)
        self.alive = 0

    def stream(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterator[Message]:
        records = list[weakref.ref[ArrayRecord]]()
        for number, message in enumerate(messages):
            content = weighted(model(number, 1), 1 + number)
            records.append(weakref.ref(content["arrays"]))
            self.alive = max(self.alive, sum(record() is not None for record in records))
            yield Message(content, reply_to=message)
            del content

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> list[Message]:
        return list(self.stream(messages, timeout=timeout))


def run(strategy: Any, nodes: int = 20) -> tuple[Result, StreamingGrid]:
    grid = StreamingGrid(nodes)
    return strategy.start(grid, model(0, 0), num_rounds=2), grid


class Listening(FedAvg):
    """As apps for upstream are written: looks at the replies twice."""

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        assert isinstance(replies, list)
        return super().aggregate_train(server_round, replies)


@pytest.mark.parametrize("strategy", [FedAvg, FedProx, FedAvgM, FedAdam])
def test_a_model_that_was_added_is_not_kept(strategy: Any) -> None:
    _, grid = run(strategy(fraction_evaluate=0.0))
    assert grid.alive <= 2


def test_the_mean_is_that_of_a_list() -> None:
    (folded, _), (listed, grid) = run(FedAvg()), run(Listening())
    np.testing.assert_allclose(floats(folded.arrays), floats(listed.arrays), rtol=1e-6)
    assert folded.train_metrics_clientapp == listed.train_metrics_clientapp
    assert grid.alive == 20


def test_what_is_there_at_once_comes_as_a_list() -> None:
    """It is summed in the order of operations of upstream's aggregation, to the last bit."""
    seen: list[type] = []

    class Seeing(FedAvg):
        @folding
        def aggregate_train(
            self, server_round: int, replies: Iterable[Message]
        ) -> tuple[ArrayRecord | None, MetricRecord | None]:
            seen.append(type(replies))
            return super().aggregate_train(server_round, replies)

    def answer(message: Message) -> Message:
        return Message(weighted(model(1, 1), 1), reply_to=message)

    strategy = Seeing(fraction_evaluate=0.0)
    strategy.start(FakeGrid(2, answer), model(0, 0), num_rounds=1)
    assert seen == [list]


def test_strategies_that_need_all_models_get_all() -> None:
    result, grid = run(FedMedian(), nodes=5)
    assert floats(result.arrays) == [2.0, 1.0]
    assert grid.alive == 5


def test_a_function_for_metrics_sees_the_models_as_ever() -> None:
    seen: list[RecordDict] = []

    def aggregate(contents: list[RecordDict], _: str) -> MetricRecord:
        seen.extend(contents)
        return MetricRecord()

    run(FedAvg(train_metrics_aggr_fn=aggregate, fraction_evaluate=0.0), nodes=3)
    assert [floats(content["arrays"])[0] for content in seen] == [0, 1, 2, 0, 1, 2]


def test_what_does_not_fit_is_refused_after_all_have_been_heard(
    caplog: pytest.LogCaptureFixture,
) -> None:
    replies = iter([reply(weighted(model(1))), reply(weighted(model(1, 2))), failure(103)])
    with caplog.at_level("INFO", "flwr"), pytest.raises(InconsistentMessageReplies, match="shape"):
        FedAvg().aggregate_train(1, replies)
    assert "aggregate_train: Received 2 results and 1 failures" in caplog.messages
