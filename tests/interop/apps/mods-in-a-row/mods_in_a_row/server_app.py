"""mods-in-a-row: the rounds, with client-side clipping and no noise."""

import json

import numpy as np

from flwr.app import ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import DifferentialPrivacyClientSideFixedClipping, FedAvg

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Main entry point for the ServerApp."""
    strategy = DifferentialPrivacyClientSideFixedClipping(
        FedAvg(min_train_nodes=3, min_evaluate_nodes=3, min_available_nodes=3),
        noise_multiplier=0.0,
        clipping_norm=float(context.run_config["clipping-norm"]),
        num_sampled_clients=3,
    )
    result = strategy.start(
        grid=grid,
        initial_arrays=ArrayRecord([np.zeros((2, 1))]),
        num_rounds=int(context.run_config["num-server-rounds"]),
    )
    outcome = {
        "model": [array.tolist() for array in result.arrays.to_numpy_ndarrays()],
        "train": {r: dict(m) for r, m in result.train_metrics_clientapp.items()},
        "evaluate": {r: dict(m) for r, m in result.evaluate_metrics_clientapp.items()},
    }
    print("outcome:", json.dumps(outcome), flush=True)
