"""FedTrimmedAvg, legacy form: the element-wise mean without the extremes.

Source: Yin et al., ICML 2018, arXiv:1803.01498.
"""

from flwr.common.parameter import ndarrays_to_parameters
from flwr.common.typing import FitRes, MetricsAggregationFn, Parameters, Scalar
from flwr.server.client_proxy import ClientProxy
from flwr.server.strategy.aggregate import aggregate_trimmed_avg
from flwr.server.strategy.fedavg import ConfigFn, EvaluateFn, FedAvg, decoded


class FedTrimmedAvg(FedAvg):
    """The trimmed mean of the models, unweighted.

    Args:
        beta: share of the models dropped at each end.

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
        evaluate_fn: EvaluateFn | None = None,
        on_fit_config_fn: ConfigFn | None = None,
        on_evaluate_config_fn: ConfigFn | None = None,
        accept_failures: bool = True,
        initial_parameters: Parameters | None = None,
        fit_metrics_aggregation_fn: MetricsAggregationFn | None = None,
        evaluate_metrics_aggregation_fn: MetricsAggregationFn | None = None,
        beta: float = 0.2,
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
        self.beta = beta

    def __repr__(self) -> str:
        return f"FedTrimmedAvg(accept_failures={self.accept_failures})"

    def aggregate_fit(
        self,
        server_round: int,
        results: list[tuple[ClientProxy, FitRes]],
        failures: list[tuple[ClientProxy, FitRes] | BaseException],
    ) -> tuple[Parameters | None, dict[str, Scalar]]:
        """Return the trimmed mean of the models, and the folded metrics.

        Raises:
            AggregationError: ``beta`` leaves nothing.
        """
        if not self._can_aggregate(results, failures):
            return None, {}
        model = aggregate_trimmed_avg(decoded(results), self.beta)
        return ndarrays_to_parameters(model), self._fold_fit_metrics(server_round, results)
