"""FedAdagrad: Adagrad on the server.

Source: Reddi et al., ICLR 2021, arXiv:2003.00295, Algorithm 2 with beta_1 = 0.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from flwr.serverapp.strategy.fedavg import MetricsAggregation
from flwr.serverapp.strategy.fedopt import FedOpt


class FedAdagrad(FedOpt):
    """Federated averaging followed by one Adagrad step; arguments as in ``FedOpt``."""

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
            beta_1=0.0,
            beta_2=0.0,
            tau=tau,
        )

    def moments(
        self,
        m: NDArray[Any],  # noqa: ARG002  the first moment has no memory: beta_1 is 0
        v: NDArray[Any],
        delta: NDArray[Any],
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the change itself, and the sum of the squares of all changes so far."""
        return delta, np.asarray(v + delta**2)
