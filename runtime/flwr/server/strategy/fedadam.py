"""FedAdam, legacy form: Adam on the server.

Source: Reddi et al., ICLR 2021, arXiv:2003.00295, Algorithm 2.
"""

from flwr.common.typing import MetricsAggregationFn, Parameters
from flwr.server.strategy.fedavg import ConfigFn, EvaluateFn
from flwr.server.strategy.fedopt import FedOpt
from flwr.serverapp.strategy.fedadam import FedAdam as Optimizer


class FedAdam(FedOpt):
    """Federated averaging followed by one step of the optimizer; arguments as in ``FedOpt``."""

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
        initial_parameters: Parameters,
        fit_metrics_aggregation_fn: MetricsAggregationFn | None = None,
        evaluate_metrics_aggregation_fn: MetricsAggregationFn | None = None,
        eta: float = 1e-1,
        eta_l: float = 1e-1,
        beta_1: float = 0.9,
        beta_2: float = 0.99,
        tau: float = 1e-9,
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
            eta=eta,
            eta_l=eta_l,
            beta_1=beta_1,
            beta_2=beta_2,
            tau=tau,
        )

    def __repr__(self) -> str:
        return f"FedAdam(accept_failures={self.accept_failures})"

    def _optimizer(self) -> Optimizer:
        return Optimizer(eta=self.eta, beta_1=self.beta_1, beta_2=self.beta_2, tau=self.tau)
