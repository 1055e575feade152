"""strategies-in-turn: a few rounds of each."""

import json
import random

import numpy as np

from flwr.app import ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import (
    Bulyan,
    FedAdagrad,
    FedAdam,
    FedAvg,
    FedAvgM,
    FedMedian,
    FedProx,
    FedTrimmedAvg,
    FedYogi,
    Krum,
    MultiKrum,
    QFedAvg,
    Strategy,
)

app = ServerApp()


def strategies() -> list[Strategy]:
    return [
        FedAvg(fraction_train=0.5, fraction_evaluate=0.0, min_train_nodes=3),
        FedAvgM(server_learning_rate=0.7, server_momentum=0.9),
        FedAdagrad(eta=0.5),
        FedAdam(eta=0.1, tau=0.01),
        FedYogi(eta=0.2, tau=0.01),
        FedMedian(),
        FedTrimmedAvg(beta=0.3),
        FedProx(proximal_mu=0.25),
        Krum(num_malicious_nodes=1),
        MultiKrum(num_malicious_nodes=1, num_nodes_to_select=3),
        Bulyan(num_malicious_nodes=1),
        QFedAvg(client_learning_rate=0.5, q=0.2),
    ]


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Main entry point for the ServerApp."""
    random.seed(5)
    for strategy in strategies():
        rng = np.random.default_rng(1)
        model = [rng.normal(size=(3, 2)).astype(np.float32), rng.normal(size=2).astype(np.float32)]
        result = strategy.start(
            grid=grid,
            initial_arrays=ArrayRecord(model),
            num_rounds=int(context.run_config["num-server-rounds"]),
        )
        outcome = {
            "strategy": type(strategy).__name__,
            "model": [array.tolist() for array in result.arrays.to_numpy_ndarrays()],
            "train": {r: dict(m) for r, m in result.train_metrics_clientapp.items()},
            "evaluate": {r: dict(m) for r, m in result.evaluate_metrics_clientapp.items()},
        }
        print("outcome:", json.dumps(outcome), flush=True)
