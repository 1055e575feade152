"""best-model: the rounds, and the best model of all."""

import json
import random
import tempfile
from pathlib import Path

import numpy as np

from best_model.task import get_model, load_data, test
from flwr.app import ArrayRecord, ConfigRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Main entry point for the ServerApp."""
    random.seed(int(context.run_config["seed"]))  # the nodes that evaluate are sampled
    arrays = ArrayRecord(get_model())

    with tempfile.TemporaryDirectory() as folder:
        saved = Path(folder) / "best_model.npz"
        best: dict[str, float] = {"loss": float("inf"), "round": -1}
        x, y = load_data(999, size=50)

        def global_evaluate(server_round: int, arrays: ArrayRecord) -> MetricRecord:
            """Evaluate the model on central data; keep it if it is the best so far."""
            model = arrays.to_numpy_ndarrays()
            loss = test(model, x, y)
            if loss < best["loss"]:
                best.update(loss=loss, round=server_round)
                np.savez(saved, *model)
            return MetricRecord({"loss": loss, "best_round": int(best["round"])})

        strategy = FedAvg(fraction_evaluate=float(context.run_config["fraction-evaluate"]))
        result = strategy.start(
            grid=grid,
            initial_arrays=arrays,
            train_config=ConfigRecord({"lr": float(context.run_config["lr"])}),
            num_rounds=int(context.run_config["num-server-rounds"]),
            evaluate_fn=global_evaluate,
        )
        with np.load(saved) as best_model:
            kept = [best_model[name].tolist() for name in best_model.files]

    outcome = {
        "model": [array.tolist() for array in result.arrays.to_numpy_ndarrays()],
        "train": {r: dict(m) for r, m in result.train_metrics_clientapp.items()},
        "evaluate": {r: dict(m) for r, m in result.evaluate_metrics_clientapp.items()},
        "central": {r: dict(m) for r, m in result.evaluate_metrics_serverapp.items()},
        "best": [best, kept],
    }
    print("outcome:", json.dumps(outcome), flush=True)
