"""FedOpt, legacy form: the mean change of the models is a gradient for an optimizer on the server.

Source: Reddi et al., ICLR 2021, arXiv:2003.00295.
"""

import numpy as np

from flwr.common.parameter import ndarrays_to_parameters, parameters_to_ndarrays
from flwr.common.typing import FitRes, MetricsAggregationFn, NDArrays, Parameters, Scalar
from flwr.server.client_proxy import ClientProxy
from flwr.server.strategy.fedavg import ConfigFn, EvaluateFn, FedAvg
from flwr.serverapp.strategy.fedopt import FedOpt as Optimizer


class FedOpt(FedAvg):
    """Base of strategies with an adaptive optimizer on the server.

    Args:
        initial_parameters: the model of round 1; required.
        eta: learning rate of the server.
        eta_l: learning rate of the clients, for information.
        beta_1: how slowly the first moment moves.
        beta_2: how slowly the second moment moves.
        tau: keeps the step finite where the second moment is 0.

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
        initial_parameters: Parameters,
        fit_metrics_aggregation_fn: MetricsAggregationFn | None = None,
        evaluate_metrics_aggregation_fn: MetricsAggregationFn | None = None,
        eta: float = 1e-1,
        eta_l: float = 1e-1,
        beta_1: float = 0.0,
        beta_2: float = 0.0,
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
        )
        self.current_weights = parameters_to_ndarrays(initial_parameters)
        self.eta, self.eta_l, self.tau = eta, eta_l, tau
        self.beta_1, self.beta_2 = beta_1, beta_2
        self.m_t: NDArrays | None = None
        self.v_t: NDArrays | None = None

    def __repr__(self) -> str:
        return f"FedOpt(accept_failures={self.accept_failures})"

    def aggregate_fit(
        self,
        server_round: int,
        results: list[tuple[ClientProxy, FitRes]],
        failures: list[tuple[ClientProxy, FitRes] | BaseException],
    ) -> tuple[Parameters | None, dict[str, Scalar]]:
        """Return the model one optimizer step away from the present one, and folded metrics."""
        mean, metrics = super().aggregate_fit(server_round, results, failures)
        optimizer = self._optimizer()
        if mean is None or optimizer is None:
            return mean, metrics
        old = self.current_weights
        pairs = zip(parameters_to_ndarrays(mean), old, strict=True)
        changes = [np.asarray(x - y) for x, y in pairs]
        first = self.m_t or [np.zeros_like(change) for change in changes]
        second = self.v_t or [np.zeros_like(change) for change in changes]
        triples = zip(first, second, changes, strict=True)
        moments = [optimizer.moments(m, v, change) for m, v, change in triples]
        self.m_t, self.v_t = [m for m, _ in moments], [v for _, v in moments]
        self.current_weights = [
            np.asarray(x + optimizer.step(server_round, m, v))
            for x, (m, v) in zip(old, moments, strict=True)
        ]
        return ndarrays_to_parameters(self.current_weights), metrics

    def _optimizer(self) -> Optimizer | None:
        """Return what steps, with the present settings; None takes the mean as it is."""
        return None
