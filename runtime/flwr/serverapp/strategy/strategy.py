"""Strategy: what an algorithm must say, and the round loop that asks it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from flwr.app.arrayrecord import ArrayRecord
from flwr.app.configrecord import ConfigRecord
from flwr.app.console_log import logger
from flwr.app.message import Message
from flwr.app.metricrecord import MetricRecord
from flwr.core.clock import Clock, SystemClock
from flwr.serverapp.grid import Grid
from flwr.serverapp.strategy import progress
from flwr.serverapp.strategy.replies import without_lies
from flwr.serverapp.strategy.result import Result

EvaluateFn = Callable[[int, ArrayRecord], MetricRecord | None]
"""Evaluates a model on the server: gets the round and the model."""

Aggregate = TypeVar("Aggregate", bound=Callable[..., Any])

_FOLDS: Final = "folds_replies"

_clock: Clock = SystemClock()  # ``start`` is called by apps, so nothing can hand one in


def folding(aggregate: Aggregate) -> Aggregate:
    """Mark a method ``aggregate_*`` that takes replies one by one, once, and need not keep them.

    It may get an iterator, while nodes are still at work; other methods get a list, as ever.
    """
    setattr(aggregate, _FOLDS, True)
    return aggregate


class Strategy(ABC):
    """An algorithm of federated learning.

    Subclasses say whom to ask and how to fold the answers; ``start`` runs the rounds.
    """

    @abstractmethod
    def configure_train(
        self,
        server_round: int,
        arrays: ArrayRecord,
        config: ConfigRecord,
        grid: Grid,
    ) -> Iterable[Message]:
        """Return the messages of the round's training; none skips it."""

    @abstractmethod
    def aggregate_train(
        self,
        server_round: int,
        replies: Iterable[Message],
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return the new model and metrics; None keeps the old model."""

    @abstractmethod
    def configure_evaluate(
        self,
        server_round: int,
        arrays: ArrayRecord,
        config: ConfigRecord,
        grid: Grid,
    ) -> Iterable[Message]:
        """Return the messages of the round's evaluation; none skips it."""

    @abstractmethod
    def aggregate_evaluate(
        self,
        server_round: int,
        replies: Iterable[Message],
    ) -> MetricRecord | None:
        """Return the metrics of the round's evaluation."""

    @abstractmethod
    def summary(self) -> None:
        """Log the settings."""

    def start(
        self,
        grid: Grid,
        initial_arrays: ArrayRecord,
        num_rounds: int = 3,
        timeout: float = 3600,
        train_config: ConfigRecord | None = None,
        evaluate_config: ConfigRecord | None = None,
        evaluate_fn: EvaluateFn | None = None,
    ) -> Result:
        """Run the rounds.

        Args:
            grid: the nodes.
            initial_arrays: the model of round 1.
            num_rounds: how many.
            timeout: seconds to wait for the replies of one half of a round.
            train_config: sent with every training message.
            evaluate_config: sent with every evaluation message.
            evaluate_fn: evaluates each model on the server; also the initial one, as round 0.

        Returns:
            The last model and all metrics.
        """
        logger.info("Starting %s strategy:", type(self).__name__)
        progress.log_strategy_start_info(num_rounds, initial_arrays, train_config, evaluate_config)
        self.summary()
        logger.info("")
        rounds = _Rounds(
            strategy=self,
            grid=grid,
            model=initial_arrays,
            timeout_s=timeout,
            train_config=ConfigRecord() if train_config is None else train_config,
            evaluate_config=ConfigRecord() if evaluate_config is None else evaluate_config,
            evaluate_fn=evaluate_fn,
        )
        del initial_arrays  # a model is large, and another one takes its place
        started_s = _clock.monotonic()
        rounds.evaluate_initial_model()
        for server_round in range(1, num_rounds + 1):
            progress.log_round(server_round, num_rounds)
            rounds.train(server_round)
            rounds.evaluate(server_round)
            rounds.evaluate_centrally(server_round)
        progress.log_end(rounds.result, _clock.monotonic() - started_s)
        return rounds.result

    def _refuse_misfits(self, replies: Iterable[Message]) -> Iterable[Message]:
        """Return replies to training, and errors in place of those unlike the model sent.

        For wrappers, too, which compute with replies first; a strategy that does not know what its
        nodes reply refuses none.
        """
        return replies


@dataclass(kw_only=True)
class _Rounds:
    """The present model, and the steps of a round that change it."""

    strategy: Strategy
    grid: Grid
    model: ArrayRecord
    timeout_s: float
    train_config: ConfigRecord
    evaluate_config: ConfigRecord
    evaluate_fn: EvaluateFn | None
    result: Result = field(default_factory=Result)

    def evaluate_initial_model(self) -> None:
        if self.evaluate_fn is None:
            return
        metrics = self.evaluate_fn(0, self.model)
        logger.info("Initial global evaluation results: %s", metrics)
        if metrics is not None:
            self.result.evaluate_metrics_serverapp[0] = metrics

    def train(self, server_round: int) -> None:
        ask = self.strategy.configure_train(server_round, self.model, self.train_config, self.grid)
        replies = self._replies(ask, self.strategy.aggregate_train)
        arrays, metrics = self.strategy.aggregate_train(server_round, replies)
        if arrays is not None:
            self.model = self.result.arrays = arrays
        if metrics is not None:
            progress.log_aggregated(metrics)
            self.result.train_metrics_clientapp[server_round] = metrics

    def evaluate(self, server_round: int) -> None:
        ask = self.strategy.configure_evaluate(
            server_round,
            self.model,
            self.evaluate_config,
            self.grid,
        )
        replies = self._replies(ask, self.strategy.aggregate_evaluate)
        metrics = self.strategy.aggregate_evaluate(server_round, replies)
        if metrics is not None:
            progress.log_aggregated(metrics)
            self.result.evaluate_metrics_clientapp[server_round] = metrics

    def evaluate_centrally(self, server_round: int) -> None:
        if self.evaluate_fn is None:
            return
        metrics = self.evaluate_fn(server_round, self.model)
        progress.log_central_evaluation(metrics)
        if metrics is not None:
            self.result.evaluate_metrics_serverapp[server_round] = metrics

    def _replies(
        self, ask: Iterable[Message], aggregate: Callable[..., object]
    ) -> Iterable[Message]:
        if getattr(aggregate, _FOLDS, False) and hasattr(type(self.grid), "stream"):
            replies = self.grid.stream(ask, timeout=self.timeout_s)
            if isinstance(replies, Iterator):  # what is there at once is summed as upstream does
                return map(without_lies, replies)
        else:
            replies = self.grid.send_and_receive(messages=ask, timeout=self.timeout_s)
        return [without_lies(reply) for reply in replies]
