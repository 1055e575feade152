"""FedMedian, legacy form: the element-wise median of the clients' models.

Source: Yin et al., ICML 2018, arXiv:1803.01498.
"""

from flwr.common.parameter import ndarrays_to_parameters
from flwr.common.typing import FitRes, Parameters, Scalar
from flwr.server.client_proxy import ClientProxy
from flwr.server.strategy.aggregate import aggregate_median
from flwr.server.strategy.fedavg import FedAvg, decoded


class FedMedian(FedAvg):
    """The median of the models, unweighted; arguments as in ``FedAvg``."""

    def __repr__(self) -> str:
        return f"FedMedian(accept_failures={self.accept_failures})"

    def aggregate_fit(
        self,
        server_round: int,
        results: list[tuple[ClientProxy, FitRes]],
        failures: list[tuple[ClientProxy, FitRes] | BaseException],
    ) -> tuple[Parameters | None, dict[str, Scalar]]:
        """Return the median of the models, and the folded metrics."""
        if not self._can_aggregate(results, failures):
            return None, {}
        model = aggregate_median(decoded(results))
        return ndarrays_to_parameters(model), self._fold_fit_metrics(server_round, results)
