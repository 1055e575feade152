"""The rounds, and how good the averaged network is after each."""

from flwr.app import ArrayRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from .task import Net, load_held_out, measure, new_net

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Average the nodes' networks for some rounds; measure each on images no node has seen."""
    seed = int(context.run_config["seed"])
    held_out = load_held_out(seed)

    def evaluate(server_round: int, arrays: ArrayRecord) -> MetricRecord:
        net = Net()
        net.load_state_dict(arrays.to_torch_state_dict())
        loss, accuracy = measure(net, held_out)
        print(f"Round {server_round}: loss {loss:.4f}, accuracy {accuracy:.4f}")
        return MetricRecord({"loss": loss, "accuracy": accuracy})

    FedAvg().start(
        grid=grid,
        initial_arrays=ArrayRecord(new_net(seed).state_dict()),
        num_rounds=int(context.run_config["num-server-rounds"]),
        evaluate_fn=evaluate,
    )
