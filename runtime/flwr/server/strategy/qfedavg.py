"""QFedAvg, legacy form: clients on which the model does badly weigh more.

Source: Li et al., ICLR 2020, arXiv:1905.10497, Algorithm 2.
"""

import numpy as np

from flwr.common.parameter import ndarrays_to_parameters, parameters_to_ndarrays
from flwr.common.typing import (
    FitIns,
    FitRes,
    MetricsAggregationFn,
    NDArray,
    NDArrays,
    Parameters,
    Scalar,
)
from flwr.server.client_manager import ClientManager
from flwr.server.client_proxy import ClientProxy
from flwr.server.strategy.aggregate import aggregate_qffl
from flwr.server.strategy.fedavg import ConfigFn, EvaluateFn, FedAvg

_SMALL = 1e-10


class QFedAvg(FedAvg):
    """Fair federated averaging; needs ``evaluate_fn``, whose loss of the present model it uses.

    Args:
        q_param: how much more a bad loss weighs; 0.0 weighs all alike.
        qffl_learning_rate: the clients' learning rate.

    The others are those of ``FedAvg``.
    """

    def __init__(
        self,
        *,
        q_param: float = 0.2,
        qffl_learning_rate: float = 0.1,
        fraction_fit: float = 1.0,
        fraction_evaluate: float = 1.0,
        min_fit_clients: int = 1,
        min_evaluate_clients: int = 1,
        min_available_clients: int = 1,
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
        self.q_param = q_param
        self.learning_rate = qffl_learning_rate
        self.pre_weights: NDArrays | None = None

    def __repr__(self) -> str:
        return (
            f"QffedAvg(learning_rate={self.learning_rate}, q_param={self.q_param}, "
            f"pre_weights={self.pre_weights})"
        )

    def configure_fit(
        self, server_round: int, parameters: Parameters, client_manager: ClientManager
    ) -> list[tuple[ClientProxy, FitIns]]:
        """Keep the model, against which changes are measured, and send it."""
        self.pre_weights = parameters_to_ndarrays(parameters)
        return super().configure_fit(server_round, parameters, client_manager)

    def aggregate_fit(
        self,
        server_round: int,
        results: list[tuple[ClientProxy, FitRes]],
        failures: list[tuple[ClientProxy, FitRes] | BaseException],
    ) -> tuple[Parameters | None, dict[str, Scalar]]:
        """Return the fair step away from the present model, and folded metrics.

        Raises:
            ValueError: there is no ``evaluate_fn``, or no model was sent before.
        """
        if not self._can_aggregate(results, failures):
            return None, {}
        old = self.pre_weights
        if old is None:
            raise ValueError("QFedAvg.aggregate_fit was called before configure_fit")
        evaluated = self.evaluate(server_round, ndarrays_to_parameters(old))
        if evaluated is None:
            raise ValueError("QFedAvg weighs by the loss on the server: give it an evaluate_fn")
        loss, _ = evaluated
        models = [parameters_to_ndarrays(answer.parameters) for _, answer in results]
        steps = [self._step(old, model, loss) for model in models]
        model = aggregate_qffl(old, [delta for delta, _ in steps], [[h] for _, h in steps])
        return ndarrays_to_parameters(model), self._fold_fit_metrics(server_round, results)

    def _step(self, old: NDArrays, new: NDArrays, loss: float) -> tuple[NDArrays, NDArray]:
        lipschitz = 1.0 / self.learning_rate
        gradients = [np.asarray((x - y) * lipschitz) for x, y in zip(old, new, strict=True)]
        weight = np.float_power(loss + _SMALL, self.q_param)
        norm = np.sum(np.square(np.concatenate([g.ravel() for g in gradients])))
        slope = self.q_param * np.float_power(loss + _SMALL, self.q_param - 1)
        return [np.asarray(weight * g) for g in gradients], np.asarray(
            slope * norm + lipschitz * weight
        )
