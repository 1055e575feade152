"""server-side-privacy: two ways to clip and to add noise on the server."""

import json

import numpy as np

from flwr.app import ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import (
    DifferentialPrivacyServerSideAdaptiveClipping,
    DifferentialPrivacyServerSideFixedClipping,
    FedAvg,
    FedAvgM,
    Strategy,
)

app = ServerApp()
NUM_NODES = 4


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Main entry point for the ServerApp."""
    noise_multiplier = float(context.run_config["noise-multiplier"])
    strategies: list[Strategy] = [
        DifferentialPrivacyServerSideFixedClipping(
            FedAvg(min_available_nodes=NUM_NODES),
            noise_multiplier,
            clipping_norm=0.8,
            num_sampled_clients=NUM_NODES,
        ),
        DifferentialPrivacyServerSideAdaptiveClipping(
            FedAvgM(min_available_nodes=NUM_NODES, server_momentum=0.5),
            noise_multiplier=0.0,
            num_sampled_clients=NUM_NODES,
            initial_clipping_norm=1.5,
            clip_norm_lr=0.4,
        ),
    ]
    for strategy in strategies:
        np.random.seed(int(context.run_config["seed"]))  # noqa: NPY002  what strategies draw from
        result = strategy.start(
            grid=grid,
            initial_arrays=ArrayRecord([np.zeros((2, 3), np.float32), np.ones(4, np.float32)]),
            num_rounds=int(context.run_config["num-server-rounds"]),
        )
        outcome = {
            "model": [array.tolist() for array in result.arrays.to_numpy_ndarrays()],
            "train": {r: dict(m) for r, m in result.train_metrics_clientapp.items()},
            "evaluate": {r: dict(m) for r, m in result.evaluate_metrics_clientapp.items()},
        }
        print("outcome:", json.dumps(outcome), flush=True)
