"""legacy-best-model: a strategy that saves each result, and the model when it is the best."""

import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from flwr.common import (
    Context,
    FitRes,
    Metrics,
    NDArrays,
    Parameters,
    Scalar,
    ndarrays_to_parameters,
    parameters_to_ndarrays,
)
from flwr.server import ServerApp, ServerAppComponents, ServerConfig
from flwr.server.client_proxy import ClientProxy
from flwr.server.strategy import FedAvg
from legacy_best_model.task import Net, get_weights, load_data, set_weights, test


class CustomFedAvg(FedAvg):
    """FedAvg that keeps results in a JSON file and the best model in another one."""

    def __init__(self, num_rounds: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.num_rounds = num_rounds
        self.best = float("inf")
        self.folder = tempfile.TemporaryDirectory()
        self.results: dict[str, dict[str, Scalar]] = {}

    def aggregate_fit(
        self,
        server_round: int,
        results: list[tuple[ClientProxy, FitRes]],
        failures: list[tuple[ClientProxy, FitRes] | BaseException],
    ) -> tuple[Parameters | None, dict[str, Scalar]]:
        assert all(json.loads(str(res.metrics["my_metric"]))["kept"] >= 1 for _, res in results)
        parameters, metrics = super().aggregate_fit(server_round, results, failures)
        self.results[f"fit {server_round}"] = metrics
        return parameters, metrics

    def evaluate(
        self, server_round: int, parameters: Parameters
    ) -> tuple[float, dict[str, Scalar]] | None:
        evaluated = super().evaluate(server_round, parameters)
        assert evaluated is not None
        loss, metrics = evaluated
        self.results[f"central {server_round}"] = {"loss": loss, **metrics}
        saved = Path(self.folder.name) / "best.npz"
        if loss < self.best:
            self.best = loss
            np.savez(saved, *parameters_to_ndarrays(parameters))
        if server_round == self.num_rounds:
            with np.load(saved) as best:
                model = [best[name].tolist() for name in best.files]
            print("outcome:", json.dumps({"model": model, "results": self.results}), flush=True)
        return loss, metrics


def gen_evaluate_fn() -> Any:
    x, y = load_data(77)

    def evaluate(
        server_round: int, parameters: NDArrays, config: dict[str, Scalar]
    ) -> tuple[float, dict[str, Scalar]]:
        net = Net()
        set_weights(net, parameters)
        loss, accuracy = test(net, x, y)
        return loss, {"cen_accuracy": accuracy}

    return evaluate


def weighted_average(metrics: list[tuple[int, Metrics]]) -> Metrics:
    total = sum(examples for examples, _ in metrics)
    return {"accuracy": sum(n * float(m["accuracy"]) for n, m in metrics) / total}


def average_loss(metrics: list[tuple[int, Metrics]]) -> Metrics:
    return {"train_loss": sum(float(m["train_loss"]) for _, m in metrics) / len(metrics)}


def on_fit_config(server_round: int) -> Metrics:
    return {"lr": 0.3 if server_round < 3 else 0.1}


def server_fn(context: Context) -> ServerAppComponents:
    num_rounds = int(context.run_config["num-server-rounds"])
    strategy = CustomFedAvg(
        num_rounds=num_rounds,
        fraction_fit=1.0,
        fraction_evaluate=1.0,
        min_fit_clients=4,
        min_available_clients=4,
        initial_parameters=ndarrays_to_parameters(get_weights(Net())),
        evaluate_fn=gen_evaluate_fn(),
        on_fit_config_fn=on_fit_config,
        evaluate_metrics_aggregation_fn=weighted_average,
        fit_metrics_aggregation_fn=average_loss,
    )
    return ServerAppComponents(strategy=strategy, config=ServerConfig(num_rounds=num_rounds))


app = ServerApp(server_fn=server_fn)
