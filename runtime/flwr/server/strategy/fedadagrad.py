"""FedAdagrad, legacy form: Adagrad on the server.

Source: Reddi et al., ICLR 2021, arXiv:2003.00295, Algorithm 2.
"""

from flwr.common.typing import MetricsAggregationFn, Parameters
from flwr.server.strategy.fedavg import ConfigFn, EvaluateFn
from flwr.server.strategy.fedopt import FedOpt
from flwr.serverapp.strategy.fedadagrad import FedAdagrad as Optimizer


class FedAdagrad(FedOpt):
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
        fit_metrics_aggregation_fn: MetricsAggregationFn | None = None,
        evaluate_metrics_aggregation_fn: MetricsAggregationFn | None = None,
        accept_failures: bool = True,
        initial_parameters: Parameters,
        eta: float = 1e-1,
        eta_l: float = 1e-1,
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
            fit_metrics_aggregation_fn=fit_metrics_aggregation_fn,
            evaluate_metrics_aggregation_fn=evaluate_metrics_aggregation_fn,
            accept_failures=accept_failures,
            initial_parameters=initial_parameters,
            eta=eta,
            eta_l=eta_l,
            tau=tau,
            beta_1=0.0,
            beta_2=0.0,
        )

    def __repr__(self) -> str:
        return f"FedAdagrad(accept_failures={self.accept_failures})"

    def _optimizer(self) -> Optimizer:
        return Optimizer(eta=self.eta, tau=self.tau)
