"""client-side-privacy: adaptive clipping by a strategy, then one round with local privacy."""

import json

import numpy as np

from flwr.app import ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import DifferentialPrivacyClientSideAdaptiveClipping, FedAvg

app = ServerApp()
NUM_NODES = 4


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Main entry point for the ServerApp."""
    strategy = DifferentialPrivacyClientSideAdaptiveClipping(
        FedAvg(fraction_evaluate=0.0, min_available_nodes=NUM_NODES),
        noise_multiplier=0.0,
        num_sampled_clients=NUM_NODES,
        initial_clipping_norm=3.0,
        target_clipped_quantile=0.25,
        clip_norm_lr=0.5,
    )
    result = strategy.start(
        grid=grid,
        initial_arrays=ArrayRecord([np.zeros((2, 3)), np.ones(4)]),
        num_rounds=int(context.run_config["num-server-rounds"]),
    )
    content = RecordDict(
        {"arrays": result.arrays, "config": ConfigRecord({"server-round": 9})},
    )
    replies = grid.send_and_receive(
        [Message(content, node_id, "train.locally") for node_id in grid.get_node_ids()]
    )
    local = [[a.tolist() for a in r.content["arrays"].to_numpy_ndarrays()] for r in replies]
    outcome = {
        "model": [array.tolist() for array in result.arrays.to_numpy_ndarrays()],
        "train": {r: dict(m) for r, m in result.train_metrics_clientapp.items()},
        "local": sorted(local),
    }
    print("outcome:", json.dumps(outcome), flush=True)
