"""Legacy clients on virtual nodes; the pool and its workers are real."""

import numpy as np
import pytest

from flwr.app import Context
from flwr.client.client import Client
from flwr.client.numpy_client import NumPyClient
from flwr.common.parameter import ndarrays_to_parameters
from flwr.common.typing import NDArrays, Scalar
from flwr.server.server_config import ServerConfig
from flwr.server.strategy.fedavg import FedAvg
from flwr.simulation import start_simulation


def client_fn(context: Context) -> Client:
    class Counting(NumPyClient):
        def fit(
            self, parameters: NDArrays, config: dict[str, Scalar]
        ) -> tuple[NDArrays, int, dict[str, Scalar]]:
            partition = context.node_config["partition-id"]
            if partition == "2":
                raise ValueError("partition 2 cannot")
            return [parameters[0] + int(partition)], 1, {"is_text": isinstance(partition, str)}

    return Counting().to_client()


@pytest.mark.slow
def test_a_script_runs_rounds_and_gets_their_history() -> None:
    seen: list[float] = []

    def evaluate(_: int, model: NDArrays, __: dict[str, Scalar]) -> tuple[float, dict[str, Scalar]]:
        seen.append(float(model[0][0]))
        return seen[-1], {}

    strategy = FedAvg(
        fraction_evaluate=0.0,
        min_fit_clients=3,
        min_available_clients=3,
        evaluate_fn=evaluate,
        initial_parameters=ndarrays_to_parameters([np.zeros(1)]),
        fit_metrics_aggregation_fn=lambda found: {"texts": all(m["is_text"] for _, m in found)},
    )
    with pytest.warns(DeprecationWarning, match="flwr run"):
        history = start_simulation(
            client_fn=client_fn,
            num_clients=3,
            client_resources={"num_cpus": 0.5},
            config=ServerConfig(2),
            strategy=strategy,
        )

    assert seen == [0.0, 0.5, 1.0]
    assert history.losses_centralized == [(0, 0.0), (1, 0.5), (2, 1.0)]
    assert history.metrics_distributed_fit == {"texts": [(1, True), (2, True)]}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_cannot_be_simulated_is_said() -> None:
    with pytest.raises(ValueError, match="clients_ids"):
        start_simulation(client_fn=client_fn, num_clients=2, clients_ids=["a", "b"])
    with pytest.raises(RuntimeError, match="0 nodes is impossible; give a number"):
        start_simulation(client_fn=client_fn, num_clients=0)
