"""custom-strategy: the rounds."""

import json

import numpy as np

from custom_strategy.strategy import DecayingFedAvg
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, MetricRecord, RecordDict
from flwr.serverapp import Grid, ServerApp

app = ServerApp()


def largest(replies: list[RecordDict], weighting_metric_name: str) -> MetricRecord:
    """Aggregate metrics to their largest value."""
    records = [next(iter(reply.metric_records.values())) for reply in replies]
    distances = [record["distance"] for record in records]
    examples = [record[weighting_metric_name] for record in records]
    return MetricRecord({"distance": max(map(float_of, distances)), "nodes": len(examples)})


def float_of(value: object) -> float:
    assert isinstance(value, float)
    return value


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Main entry point for the ServerApp."""
    strategy = DecayingFedAvg(
        decay=float(context.run_config["decay"]),
        min_train_nodes=3,
        min_available_nodes=3,
        evaluate_metrics_aggr_fn=largest,
    )
    result = strategy.start(
        grid=grid,
        initial_arrays=ArrayRecord(
            {"weights": Array(np.zeros((2, 3), np.float32)), "bias": Array(np.array(0.0))}
        ),
        train_config=ConfigRecord({"lr": float(context.run_config["lr"])}),
        num_rounds=int(context.run_config["num-server-rounds"]),
    )
    outcome = {
        "model": {n: [a.dtype, a.shape, a.numpy().tolist()] for n, a in result.arrays.items()},
        "train": {r: dict(m) for r, m in result.train_metrics_clientapp.items()},
        "evaluate": {r: dict(m) for r, m in result.evaluate_metrics_clientapp.items()},
        "seen": {r: sorted(texts) for r, texts in strategy.seen.items()},
    }
    print("outcome:", json.dumps(outcome), flush=True)
