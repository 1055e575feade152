"""The rounds, and how good the averaged model is after each."""

from flwr.app import ArrayRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from .task import initial_model, load_held_out, measure

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Average the nodes' models for some rounds; measure each on images no node has seen."""
    held_out = load_held_out(int(context.run_config["seed"]))

    def evaluate(server_round: int, arrays: ArrayRecord) -> MetricRecord:
        loss, accuracy = measure(arrays.to_numpy_ndarrays(), held_out)
        print(f"Round {server_round}: loss {loss:.4f}, accuracy {accuracy:.4f}")
        return MetricRecord({"loss": loss, "accuracy": accuracy})

    FedAvg().start(
        grid=grid,
        initial_arrays=ArrayRecord(initial_model()),
        num_rounds=int(context.run_config["num-server-rounds"]),
        evaluate_fn=evaluate,
    )
