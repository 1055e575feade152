"""Bulyan, legacy form: the mean around the median of models chosen one by one.

Source: El Mhamdi et al., ICML 2018, arXiv:1802.07927.
"""

from collections.abc import Callable
from typing import Any

from flwr.common.parameter import ndarrays_to_parameters
from flwr.common.typing import FitRes, MetricsAggregationFn, NDArrays, Parameters, Scalar
from flwr.server.client_proxy import ClientProxy
from flwr.server.strategy.aggregate import aggregate_bulyan, aggregate_krum
from flwr.server.strategy.fedavg import ConfigFn, EvaluateFn, FedAvg, decoded


class Bulyan(FedAvg):
    """The mean around the median.

    Args:
        num_malicious_clients: how many clients may be malicious.
        first_aggregation_rule: chooses the best of models.
        aggregation_rule_kwargs: further arguments of the rule.

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
        evaluate_fn: EvaluateFn | None = None,
        on_fit_config_fn: ConfigFn | None = None,
        on_evaluate_config_fn: ConfigFn | None = None,
        accept_failures: bool = True,
        initial_parameters: Parameters | None = None,
        fit_metrics_aggregation_fn: MetricsAggregationFn | None = None,
        evaluate_metrics_aggregation_fn: MetricsAggregationFn | None = None,
        first_aggregation_rule: Callable[..., NDArrays] = aggregate_krum,
        **aggregation_rule_kwargs: Any,
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
        self.first_aggregation_rule = first_aggregation_rule
        self.aggregation_rule_kwargs = aggregation_rule_kwargs

    def __repr__(self) -> str:
        return f"Bulyan(accept_failures={self.accept_failures})"

    def aggregate_fit(
        self,
        server_round: int,
        results: list[tuple[ClientProxy, FitRes]],
        failures: list[tuple[ClientProxy, FitRes] | BaseException],
    ) -> tuple[Parameters | None, dict[str, Scalar]]:
        """Return the mean around the median, and the folded metrics.

        Raises:
            ValueError: there are too few models.
        """
        if not self._can_aggregate(results, failures):
            return None, {}
        model = aggregate_bulyan(
            decoded(results),
            self.num_malicious_clients,
            self.first_aggregation_rule,
            **self.aggregation_rule_kwargs,
        )
        return ndarrays_to_parameters(model), self._fold_fit_metrics(server_round, results)
