"""FedAvgAndroid: federated averaging with clients that write plain float32 numbers."""

import numpy as np

from flwr.common.typing import (
    EvaluateRes,
    FitRes,
    NDArray,
    NDArrays,
    Parameters,
    Scalar,
)
from flwr.server.client_proxy import ClientProxy
from flwr.server.strategy.aggregate import aggregate, weighted_loss_avg
from flwr.server.strategy.fedavg import ConfigFn, EvaluateFn, FedAvg


class FedAvgAndroid(FedAvg):
    """Federated averaging; arguments as in ``FedAvg``, metrics are not folded."""

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
        )

    def evaluate(
        self, server_round: int, parameters: Parameters
    ) -> tuple[float, dict[str, Scalar]] | None:
        """Return what ``evaluate_fn`` finds."""
        if self.evaluate_fn is None:
            return None
        return self.evaluate_fn(server_round, self.parameters_to_ndarrays(parameters), {})

    def aggregate_fit(
        self,
        server_round: int,  # noqa: ARG002  named by the contract
        results: list[tuple[ClientProxy, FitRes]],
        failures: list[tuple[ClientProxy, FitRes] | BaseException],
    ) -> tuple[Parameters | None, dict[str, Scalar]]:
        """Return the weighted mean of the models."""
        if not self._can_aggregate(results, failures):
            return None, {}
        models = [
            (self.parameters_to_ndarrays(answer.parameters), answer.num_examples)
            for _, answer in results
        ]
        return self.ndarrays_to_parameters(aggregate(models)), {}

    def aggregate_evaluate(
        self,
        server_round: int,  # noqa: ARG002  named by the contract
        results: list[tuple[ClientProxy, EvaluateRes]],
        failures: list[tuple[ClientProxy, EvaluateRes] | BaseException],
    ) -> tuple[float | None, dict[str, Scalar]]:
        """Return the weighted mean of the losses."""
        if not self._can_aggregate(results, failures):
            return None, {}
        losses = [(answer.num_examples, answer.loss) for _, answer in results]
        return weighted_loss_avg(losses), {}

    def ndarrays_to_parameters(self, ndarrays: NDArrays) -> Parameters:
        """Return the numbers of each array, as bytes."""
        tensors = [self.ndarray_to_bytes(ndarray) for ndarray in ndarrays]
        return Parameters(tensors=tensors, tensor_type="numpy.nda")

    def parameters_to_ndarrays(self, parameters: Parameters) -> NDArrays:
        """Return flat float32 arrays."""
        return [self.bytes_to_ndarray(tensor) for tensor in parameters.tensors]

    def ndarray_to_bytes(self, ndarray: NDArray) -> bytes:
        """Return the numbers without any header."""
        return ndarray.tobytes()

    def bytes_to_ndarray(self, tensor: bytes) -> NDArray:
        """Return the numbers as a flat float32 array."""
        return np.frombuffer(tensor, dtype=np.float32)
