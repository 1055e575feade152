"""Averages what the nodes send, with the strategy that its config names."""

import numpy as np

from flwr.app import ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp, strategy

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    rule = getattr(strategy, str(context.run_config["strategy"]))
    chosen = rule(fraction_evaluate=0.0, min_train_nodes=3, min_available_nodes=3)
    result = chosen.start(grid, ArrayRecord([np.zeros(4, np.float32)]), num_rounds=2)
    print(f"model: {result.arrays['0'].numpy().tolist()}", flush=True)
