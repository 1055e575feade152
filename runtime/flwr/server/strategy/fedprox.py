"""FedProx, legacy form: federated averaging whose clients stay close to the model they got.

Source: Li et al., MLSys 2020, arXiv:1812.06127.
"""

from flwr.common.typing import FitIns, MetricsAggregationFn, Parameters
from flwr.server.client_manager import ClientManager
from flwr.server.client_proxy import ClientProxy
from flwr.server.strategy.fedavg import ConfigFn, EvaluateFn, FedAvg


class FedProx(FedAvg):
    """Federated averaging that sends ``proximal_mu``; clients add the proximal term.

    Args:
        proximal_mu: weight of the proximal term, 0.0 is plain federated averaging.

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
        proximal_mu: float,
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
        self.proximal_mu = proximal_mu

    def __repr__(self) -> str:
        return f"FedProx(accept_failures={self.accept_failures})"

    def configure_fit(
        self, server_round: int, parameters: Parameters, client_manager: ClientManager
    ) -> list[tuple[ClientProxy, FitIns]]:
        """Send the model and ``proximal_mu`` to a sample of the clients."""
        asked = super().configure_fit(server_round, parameters, client_manager)
        return [
            (client, FitIns(ins.parameters, {**ins.config, "proximal_mu": self.proximal_mu}))
            for client, ins in asked
        ]
