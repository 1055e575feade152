"""boosted-trees: bagging, then cyclic training that goes on from there."""

import json
import random

from boosted_trees.task import from_array, to_array, trees_of
from flwr.app import ArrayRecord, ConfigRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg, FedXgbBagging, FedXgbCyclic

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Main entry point for the ServerApp."""
    random.seed(1)
    methods: dict[str, FedAvg] = {
        "bagging": FedXgbBagging(fraction_train=1.0, fraction_evaluate=1.0, min_available_nodes=3),
        "cyclic": FedXgbCyclic(fraction_train=1.0, fraction_evaluate=1.0, min_available_nodes=3),
    }
    arrays = ArrayRecord([to_array(b"")])
    for method, strategy in methods.items():
        result = strategy.start(
            grid=grid,
            initial_arrays=arrays,
            train_config=ConfigRecord({"method": method}),
            num_rounds=int(context.run_config["num-server-rounds"]),
        )
        arrays = result.arrays
        model = from_array(arrays["0"].numpy())
        outcome = {
            "method": method,
            "ids": [tree["id"] for tree in trees_of(model)],
            "trees": sorted(tree["base_weights"] for tree in trees_of(model)),
            "train": {r: dict(m) for r, m in result.train_metrics_clientapp.items()},
            "evaluate": {r: dict(m) for r, m in result.evaluate_metrics_clientapp.items()},
        }
        print("outcome:", json.dumps(outcome), flush=True)
