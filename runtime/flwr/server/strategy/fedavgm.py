"""FedAvgM, legacy form: federated averaging with momentum on the server.

Source: Hsu et al., 2019, arXiv:1909.06335.
"""

import numpy as np

from flwr.common.parameter import ndarrays_to_parameters, parameters_to_ndarrays
from flwr.common.typing import FitRes, MetricsAggregationFn, NDArrays, Parameters, Scalar
from flwr.server.client_manager import ClientManager
from flwr.server.client_proxy import ClientProxy
from flwr.server.strategy.fedavg import ConfigFn, EvaluateFn, FedAvg


class FedAvgM(FedAvg):
    """Federated averaging with a learning rate and momentum on the server.

    Args:
        server_learning_rate: 1.0 takes the mean as it is.
        server_momentum: share of the former step that is kept, 0.0 for none.

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
        server_learning_rate: float = 1.0,
        server_momentum: float = 0.0,
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
            inplace=False,
        )
        self.server_learning_rate = server_learning_rate
        self.server_momentum = server_momentum
        self.server_opt = server_momentum != 0.0 or server_learning_rate != 1.0
        self.momentum_vector: NDArrays | None = None

    def __repr__(self) -> str:
        return f"FedAvgM(accept_failures={self.accept_failures})"

    def initialize_parameters(
        self,
        client_manager: ClientManager,  # noqa: ARG002  named by the contract
    ) -> Parameters | None:
        """Return the initial model and keep it: changes are measured against it."""
        return self.initial_parameters

    def aggregate_fit(
        self,
        server_round: int,
        results: list[tuple[ClientProxy, FitRes]],
        failures: list[tuple[ClientProxy, FitRes] | BaseException],
    ) -> tuple[Parameters | None, dict[str, Scalar]]:
        """Return the model one step with momentum away from the present one, and folded metrics.

        Raises:
            ValueError: there is no initial model to step from.
        """
        mean, metrics = super().aggregate_fit(server_round, results, failures)
        if mean is None or not self.server_opt:
            return mean, metrics
        if self.initial_parameters is None:
            raise ValueError("FedAvgM steps from a model: give it initial_parameters")
        old = parameters_to_ndarrays(self.initial_parameters)
        pairs = zip(old, parameters_to_ndarrays(mean), strict=True)
        gradients = [np.asarray(x - y) for x, y in pairs]
        if self.server_momentum > 0.0:
            gradients = self._with_momentum(server_round, gradients)
        steps = zip(old, gradients, strict=True)
        model = [np.asarray(x - self.server_learning_rate * g) for x, g in steps]
        self.initial_parameters = ndarrays_to_parameters(model)
        return self.initial_parameters, metrics

    def _with_momentum(self, server_round: int, gradients: NDArrays) -> NDArrays:
        if server_round > 1 and self.momentum_vector is not None:
            pairs = zip(self.momentum_vector, gradients, strict=True)
            gradients = [np.asarray(self.server_momentum * v + g) for v, g in pairs]
        self.momentum_vector = gradients
        return gradients
