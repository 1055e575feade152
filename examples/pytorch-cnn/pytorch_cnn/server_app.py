"""The rounds, and how good the averaged network is."""

import torch

from flwr.app import ArrayRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from .task import fit, load_split, measure, new_net

torch.set_num_threads(1)

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Average the nodes' networks for some rounds; compare the last with other predictors."""
    config = context.run_config
    rounds, seed = int(config["num-server-rounds"]), int(config["seed"])
    everything, held_out = load_split(seed)
    torch.manual_seed(seed)
    start = new_net().state_dict()
    net = new_net()

    def evaluate(server_round: int, arrays: ArrayRecord) -> MetricRecord:
        net.load_state_dict(arrays.to_torch_state_dict())
        loss, accuracy = measure(net, held_out)
        print(f"Round {server_round}: loss {loss:.4f}, accuracy {accuracy:.4f}")
        return MetricRecord({"loss": loss, "accuracy": accuracy})

    result = FedAvg().start(
        grid=grid,
        initial_arrays=ArrayRecord(start),
        num_rounds=rounds,
        evaluate_fn=evaluate,
    )

    # Possible here because this data is public: the same passes over everything at one place.
    central = new_net()
    central.load_state_dict(start)
    epochs = rounds * int(config["local-epochs"])
    fit(central, everything, epochs, float(config["learning-rate"]), seed)
    net.load_state_dict(result.arrays.to_torch_state_dict())
    most_frequent = everything[1].bincount().argmax()
    print(
        f"Result: accuracy federated {measure(net, held_out)[1]:.4f}, "
        f"central {measure(central, held_out)[1]:.4f}, "
        f"constant {(held_out[1] == most_frequent).float().mean():.4f}"
    )
