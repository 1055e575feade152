"""Krum, legacy form: the model that lies closest to most of the others.

Source: Blanchard et al., NeurIPS 2017, arXiv:1703.02757.
"""

from flwr.common.parameter import ndarrays_to_parameters
from flwr.common.typing import FitRes, MetricsAggregationFn, Parameters, Scalar
from flwr.server.client_proxy import ClientProxy
from flwr.server.strategy.aggregate import aggregate_krum
from flwr.server.strategy.fedavg import ConfigFn, EvaluateFn, FedAvg, decoded


class Krum(FedAvg):
    """The best model, or the weighted mean of several good ones.

    Args:
        num_malicious_clients: how many clients may be malicious.
        num_clients_to_keep: how many models are averaged; 0 takes the best as it is.

    The others are those of ``FedAvg``.
    """

    def __init__(
        self,
        *,
        fraction_fit: float = 1.0,
        fraction_evaluate: float = 1.0,
        min_fit_clients: int = 2,
        min_evaluate_clients: int = 2,
        min_available_clients: int = 2,
        num_malicious_clients: int = 0,
        num_clients_to_keep: int = 0,
        evaluate_fn: EvaluateFn | None = None,
        on_fit_config_fn: ConfigFn | None = None,
        on_evaluate_config_fn: ConfigFn | None = None,
        accept_failures: bool = True,
        initial_parameters: Parameters | None = None,
        fit_metrics_aggregation_fn: MetricsAggregationFn | None = None,
        evaluate_metrics_aggregation_fn: MetricsAggregationFn | None = None,
    ) -> None:
        super().__init__(
            fraction_fit=fraction_fit,
            fraction_evaluate=fraction_evaluate,
            min_fit_clients=min_fit_clients,
            min_evaluate_clients=min_evaluate_clients,
            min_available_clients=min_available_clients,
            evaluate_fn=evaluate_fn,
            on_fit_config_fn=on_fit_config_fn,
            on_evaluate_config_fn=on_evaluate_config_fn,
            accept_failures=accept_failures,
            initial_parameters=initial_parameters,
            fit_metrics_aggregation_fn=fit_metrics_aggregation_fn,
            evaluate_metrics_aggregation_fn=evaluate_metrics_aggregation_fn,
        )
        self.num_malicious_clients = num_malicious_clients
        self.num_clients_to_keep = num_clients_to_keep

    def __repr__(self) -> str:
        return f"Krum(accept_failures={self.accept_failures})"

    def aggregate_fit(
        self,
        server_round: int,
        results: list[tuple[ClientProxy, FitRes]],
        failures: list[tuple[ClientProxy, FitRes] | BaseException],
    ) -> tuple[Parameters | None, dict[str, Scalar]]:
        """Return the model chosen, and the folded metrics."""
        if not self._can_aggregate(results, failures):
            return None, {}
        model = aggregate_krum(
            decoded(results), self.num_malicious_clients, self.num_clients_to_keep
        )
        return ndarrays_to_parameters(model), self._fold_fit_metrics(server_round, results)
