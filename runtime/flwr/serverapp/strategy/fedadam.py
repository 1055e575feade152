"""FedAdam: Adam on the server.

Source: Reddi et al., ICLR 2021, arXiv:2003.00295, Algorithm 2; bias correction of Kingma and Ba,
ICLR 2015, arXiv:1412.6980.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from flwr.serverapp.strategy.fedavg import MetricsAggregation
from flwr.serverapp.strategy.fedopt import FedOpt


class FedAdam(FedOpt):
    """Federated averaging followed by one Adam step; arguments as in ``FedOpt``."""

    def __init__(
        self,
        *,
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
        eta: float = 1e-1,
        eta_l: float = 1e-1,
        beta_1: float = 0.9,
        beta_2: float = 0.99,
        tau: float = 1e-3,
    ) -> None:
        super().__init__(
            fraction_train=fraction_train,
            fraction_evaluate=fraction_evaluate,
            min_train_nodes=min_train_nodes,
            min_evaluate_nodes=min_evaluate_nodes,
            min_available_nodes=min_available_nodes,
            weighted_by_key=weighted_by_key,
            arrayrecord_key=arrayrecord_key,
            configrecord_key=configrecord_key,
            train_metrics_aggr_fn=train_metrics_aggr_fn,
            evaluate_metrics_aggr_fn=evaluate_metrics_aggr_fn,
            eta=eta,
            eta_l=eta_l,
            beta_1=beta_1,
            beta_2=beta_2,
            tau=tau,
        )

    def moments(
        self,
        m: NDArray[Any],
        v: NDArray[Any],
        delta: NDArray[Any],
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return exponential moving averages of the change and of its square."""
        return (
            np.asarray(self.beta_1 * m + (1 - self.beta_1) * delta),
            np.asarray(self.beta_2 * v + (1 - self.beta_2) * delta**2),
        )

    def step(self, server_round: int, m: NDArray[Any], v: NDArray[Any]) -> NDArray[Any]:
        """Return ``eta_n * m / (sqrt(v) + tau)``, eta corrected for moments that began at 0.

        ``eta_n = eta * sqrt(1 - beta_2^(t+1)) / (1 - beta_1^(t+1))`` in round t.
        """
        exponent = server_round + 1.0
        # numpy's power, not Python's: they differ in the last bit, and upstream's results count.
        left_1, left_2 = np.power(self.beta_1, exponent), np.power(self.beta_2, exponent)
        eta_n = self.eta * np.sqrt(1 - left_2) / (1 - left_1)
        return np.asarray(eta_n * m / (np.sqrt(v) + self.tau))
