"""FedProx: federated averaging of clients that are held near the global model.

The term mu/2 * ||w - w_global||^2 is added to the loss by the ClientApp; the server only sends mu.

Source: Li et al., MLSys 2020, arXiv:1812.06127.
"""

from collections.abc import Iterable

from flwr.app.arrayrecord import ArrayRecord
from flwr.app.configrecord import ConfigRecord
from flwr.app.console_log import logger
from flwr.app.message import Message
from flwr.serverapp.grid import Grid
from flwr.serverapp.strategy.fedavg import FedAvg, MetricsAggregation

PROXIMAL_MU_KEY = "proximal-mu"
"""Key of mu in the ConfigRecord that is sent."""


class FedProx(FedAvg):
    """Federated averaging that tells clients how strongly to stay near the global model.

    Args:
        proximal_mu: weight of the proximal term, not negative; 0.0 is plain federated averaging.

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
        proximal_mu: float = 0.0,
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
        self.proximal_mu = proximal_mu
        if proximal_mu == 0.0:
            logger.warning("proximal_mu is 0.0, so FedProx does the same as FedAvg.")

    def summary(self) -> None:
        """Log the settings."""
        logger.info("\t├──> FedProx settings:")
        logger.info("\t│\t└── Proximal mu: %s", self.proximal_mu)
        super().summary()

    def configure_train(
        self,
        server_round: int,
        arrays: ArrayRecord,
        config: ConfigRecord,
        grid: Grid,
    ) -> Iterable[Message]:
        """Send the model and mu to a sample of the nodes."""
        config[PROXIMAL_MU_KEY] = self.proximal_mu
        return super().configure_train(server_round, arrays, config, grid)
