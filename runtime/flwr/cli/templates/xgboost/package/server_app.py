"""The rounds, and how good the forest is after each."""

from flwr.app import ArrayRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedXgbBagging

from .task import load_held_out, measure, to_array

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Collect the nodes' trees for some rounds; measure the forest on cases no node has seen."""
    held_out = load_held_out(int(context.run_config["seed"]))

    def evaluate(server_round: int, arrays: ArrayRecord) -> MetricRecord:
        auc = measure(arrays["0"].numpy().tobytes(), held_out)
        print(f"Round {server_round}: area under the curve {auc:.4f}")
        return MetricRecord({"auc": auc})

    FedXgbBagging().start(
        grid=grid,
        initial_arrays=ArrayRecord([to_array(b"")]),
        num_rounds=int(context.run_config["num-server-rounds"]),
        evaluate_fn=evaluate,
    )
