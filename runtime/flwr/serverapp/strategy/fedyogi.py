"""FedYogi: Yogi on the server, whose second moment shrinks no faster than it grows.

Source: Reddi et al., ICLR 2021, arXiv:2003.00295, Algorithm 2, without bias correction; Zaheer et
al., NeurIPS 2018.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from flwr.serverapp.strategy.fedavg import MetricsAggregation
from flwr.serverapp.strategy.fedopt import FedOpt


class FedYogi(FedOpt):
    """Federated averaging followed by one Yogi step; arguments as in ``FedOpt``."""

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
        eta: float = 1e-2,
        eta_l: float = 0.0316,
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
        """Return the moving average of the change, and v moved towards its square by a fixed rate.

        ``v - (1 - beta_2) * delta^2 * sign(v - delta^2)``
        """
        square = delta**2
        return (
            np.asarray(self.beta_1 * m + (1 - self.beta_1) * delta),
            np.asarray(v - (1 - self.beta_2) * square * np.sign(v - square)),
        )
