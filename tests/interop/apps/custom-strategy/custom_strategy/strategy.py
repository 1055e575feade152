"""custom-strategy: FedAvg with a learning rate that decays, and a loop of its own."""

import time
from collections.abc import Callable, Iterable
from logging import INFO
from typing import Any

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.common import log
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg, Result
from flwr.serverapp.strategy.strategy_utils import log_strategy_start_info


class DecayingFedAvg(FedAvg):
    """Lowers the learning rate after every second round; looks into each reply."""

    def __init__(self, decay: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.decay = decay
        self.seen: dict[int, list[str]] = {}

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Configure the next round of training."""
        if server_round > 1 and server_round % 2 == 1:
            lr = config["lr"]
            assert isinstance(lr, float)
            config["lr"] = lr * self.decay
            log(INFO, "Learning rate is now %s", config["lr"])
        return super().configure_train(server_round, arrays, config, grid)

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Aggregate what the nodes sent, but for the report, which is for the server alone."""
        replies = list(replies)
        for reply in replies:
            if reply.has_content():
                report = reply.content.config_records.pop("report")
                self.seen.setdefault(server_round, []).append(str(report["text"]))
        arrays, metrics = super().aggregate_train(server_round, replies)
        if metrics is not None:
            metrics["replies"] = len(replies)
        return arrays, metrics

    def start(
        self,
        grid: Grid,
        initial_arrays: ArrayRecord,
        num_rounds: int = 3,
        timeout: float = 3600,
        train_config: ConfigRecord | None = None,
        evaluate_config: ConfigRecord | None = None,
        evaluate_fn: Callable[[int, ArrayRecord], MetricRecord | None] | None = None,
    ) -> Result:
        """Execute the strategy; evaluate every second round only."""
        log(INFO, "Starting %s strategy:", self.__class__.__name__)
        log_strategy_start_info(num_rounds, initial_arrays, train_config, evaluate_config)
        self.summary()
        train_config = ConfigRecord() if train_config is None else train_config
        evaluate_config = ConfigRecord() if evaluate_config is None else evaluate_config
        result = Result()
        t_start = time.time()
        arrays = initial_arrays
        for current_round in range(1, num_rounds + 1):
            log(INFO, "[ROUND %s/%s]", current_round, num_rounds)
            replies = grid.send_and_receive(
                messages=self.configure_train(current_round, arrays, train_config, grid),
                timeout=timeout,
            )
            agg_arrays, agg_metrics = self.aggregate_train(current_round, replies)
            if agg_arrays is not None:
                result.arrays = arrays = agg_arrays
            if agg_metrics is not None:
                result.train_metrics_clientapp[current_round] = agg_metrics
            if current_round % 2:
                continue
            replies = grid.send_and_receive(
                messages=self.configure_evaluate(current_round, arrays, evaluate_config, grid),
                timeout=timeout,
            )
            agg_evaluate = self.aggregate_evaluate(current_round, replies)
            if agg_evaluate is not None:
                result.evaluate_metrics_clientapp[current_round] = agg_evaluate
        log(INFO, "Strategy execution finished in %.2fs", time.time() - t_start)
        return result
