"""FedAvgM: federated averaging with momentum on the server.

Kept between rounds: the model sent and one momentum of its size.

Source: Hsu et al., 2019, arXiv:1909.06335.
"""

from collections.abc import Iterable
from typing import Any

from numpy.typing import NDArray

from flwr.app.arrayrecord import ArrayRecord
from flwr.app.configrecord import ConfigRecord
from flwr.app.console_log import logger
from flwr.app.message import Message
from flwr.app.metricrecord import MetricRecord
from flwr.serverapp.exception import AggregationError
from flwr.serverapp.grid import Grid
from flwr.serverapp.strategy.aggregate import to_ndarrays, to_record
from flwr.serverapp.strategy.fedavg import FedAvg, MetricsAggregation
from flwr.serverapp.strategy.fedopt import changes
from flwr.serverapp.strategy.strategy import folding


class FedAvgM(FedAvg):
    """Federated averaging with a learning rate and momentum on the server.

    Args:
        server_learning_rate: 1.0 takes the mean as it is.
        server_momentum: share of the former step that is kept, 0.0 for none.

    The others are those of ``FedAvg``.
    """

    def __init__(
        self,
        fraction_train: float = 1.0,
        fraction_evaluate: float = 1.0,
        min_train_nodes: int = 2,
        min_evaluate_nodes: int = 2,
        min_available_nodes: int = 2,
        weighted_by_key: str = "num-examples",
        arrayrecord_key: str = "arrays",
        configrecord_key: str = "config",
        train_metrics_aggr_fn: MetricsAggregation | None = None,
        evaluate_metrics_aggr_fn: MetricsAggregation | None = None,
        server_learning_rate: float = 1.0,
        server_momentum: float = 0.0,
    ) -> None:
        super().__init__(
            fraction_train,
            fraction_evaluate,
            min_train_nodes,
            min_evaluate_nodes,
            min_available_nodes,
            weighted_by_key,
            arrayrecord_key,
            configrecord_key,
            train_metrics_aggr_fn,
            evaluate_metrics_aggr_fn,
        )
        self.server_learning_rate = server_learning_rate
        self.server_momentum = server_momentum
        self.server_opt = server_momentum != 0.0 or server_learning_rate != 1.0
        self.current_arrays: ArrayRecord | None = None
        self.momentum_vector: list[NDArray[Any]] | None = None

    def summary(self) -> None:
        """Log the settings."""
        logger.info("\t├──> FedAvgM settings:")
        logger.info("\t│\t├── Server optimization: %s", "ON" if self.server_opt else "OFF")
        logger.info("\t│\t├── Server learning rate: %s", self.server_learning_rate)
        logger.info("\t│\t└── Server Momentum: %s", self.server_momentum)
        super().summary()

    def configure_train(
        self,
        server_round: int,
        arrays: ArrayRecord,
        config: ConfigRecord,
        grid: Grid,
    ) -> Iterable[Message]:
        """Keep the model, against which the change is measured, and send it."""
        if self.server_opt:
            self.current_arrays = arrays
        return super().configure_train(server_round, arrays, config, grid)

    @folding
    def aggregate_train(
        self,
        server_round: int,
        replies: Iterable[Message],
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return the model one step with momentum away from the present one, and mean metrics.

        Raises:
            AggregationError: no model was sent before, or names or shapes differ from it.
            InconsistentMessageReplies: the replies do not have one form.
        """
        mean, metrics = super().aggregate_train(server_round, replies)
        if mean is None or not self.server_opt:
            return mean, metrics
        if self.current_arrays is None:
            raise AggregationError(
                "there is no present model to step from: configure_train comes before "
                "aggregate_train",
            )
        old = to_ndarrays(self.current_arrays)
        gradients = [-change for change in changes(old, mean).values()]
        if self.server_momentum > 0.0:
            gradients = self._with_momentum(gradients)
        steps = zip(mean, gradients, strict=True)
        return to_record({n: old[n] - self.server_learning_rate * g for n, g in steps}), metrics

    def _with_momentum(self, gradients: list[NDArray[Any]]) -> list[NDArray[Any]]:
        if self.momentum_vector is None:
            self.momentum_vector = gradients
        else:
            pairs = zip(self.momentum_vector, gradients, strict=True)
            self.momentum_vector = [self.server_momentum * v + g for v, g in pairs]
        return self.momentum_vector
