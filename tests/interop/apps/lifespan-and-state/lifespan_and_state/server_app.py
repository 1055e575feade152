"""lifespan-and-state: the rounds, between what is prepared and what is cleared away."""

import json
from collections.abc import Iterator

import numpy as np

from flwr.app import ArrayRecord, ConfigRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

app = ServerApp()


@app.lifespan()
def lifespan(context: Context) -> Iterator[None]:
    """Prepare the state; tell, at the end, what became of it."""
    context.state["run"] = ConfigRecord({"phase": "prepared"})
    yield
    outcome = {"phase": context.state["run"]["phase"], "node": context.node_id}
    print("outcome:", json.dumps(outcome), flush=True)


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Main entry point for the ServerApp."""
    assert context.state["run"]["phase"] == "prepared"
    result = FedAvg(min_train_nodes=3, min_evaluate_nodes=3, min_available_nodes=3).start(
        grid=grid,
        initial_arrays=ArrayRecord([np.zeros((2, 2))]),
        num_rounds=int(context.run_config["num-server-rounds"]),
    )
    context.state["run"] = ConfigRecord({"phase": "trained"})
    outcome = {
        "model": [array.tolist() for array in result.arrays.to_numpy_ndarrays()],
        "train": {r: dict(m) for r, m in result.train_metrics_clientapp.items()},
        "evaluate": {r: dict(m) for r, m in result.evaluate_metrics_clientapp.items()},
    }
    print("outcome:", json.dumps(outcome), flush=True)
