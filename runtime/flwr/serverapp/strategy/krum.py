"""Krum: the one model that lies closest to most of the others.

Needs all replies at once, as ``MultiKrum`` does.

Source: Blanchard et al., NeurIPS 2017, arXiv:1703.02757.
"""

from flwr.app.console_log import logger
from flwr.serverapp.strategy.fedavg import MetricsAggregation
from flwr.serverapp.strategy.multikrum import MultiKrum


class Krum(MultiKrum):
    """Takes over the model and metrics of the reply that scores best.

    Args:
        num_malicious_nodes: f, how many of the n replies may be malicious; ``n >= 2 * f + 3``.

    The others are those of ``FedAvg``.

    Raises:
        ValueError: a number is too small.
    """

    def __init__(
        self,
        fraction_train: float = 1.0,
        fraction_evaluate: float = 1.0,
        min_train_nodes: int = 2,
        min_evaluate_nodes: int = 2,
        min_available_nodes: int = 2,
        num_malicious_nodes: int = 0,
        weighted_by_key: str = "num-examples",
        arrayrecord_key: str = "arrays",
        configrecord_key: str = "config",
        train_metrics_aggr_fn: MetricsAggregation | None = None,
        evaluate_metrics_aggr_fn: MetricsAggregation | None = None,
    ) -> None:
        super().__init__(
            fraction_train,
            fraction_evaluate,
            min_train_nodes,
            min_evaluate_nodes,
            min_available_nodes,
            num_malicious_nodes,
            1,
            weighted_by_key,
            arrayrecord_key,
            configrecord_key,
            train_metrics_aggr_fn,
            evaluate_metrics_aggr_fn,
        )

    def summary(self) -> None:
        """Log the settings."""
        logger.info("\t├──> Krum settings:")
        logger.info("\t│\t└── Number of malicious nodes: %d", self.num_malicious_nodes)
        super().summary()
