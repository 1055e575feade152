"""The rounds, and how good the averaged model is beside what one node alone would reach."""

import numpy as np

from flwr.app import ArrayRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from .task import accuracy, fit, initial_model, load_partition, load_split

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Average the nodes' models for some rounds; compare the last one with other predictors."""
    config = context.run_config
    rounds, seed = int(config["num-server-rounds"]), int(config["seed"])
    everything, held_out = load_split(seed)

    def evaluate(server_round: int, arrays: ArrayRecord) -> MetricRecord:
        reached = accuracy(arrays.to_numpy_ndarrays(), held_out)
        print(f"Round {server_round}: accuracy {reached:.4f}")
        return MetricRecord({"accuracy": reached})

    start = initial_model(seed)
    result = FedAvg(fraction_evaluate=0.0).start(
        grid=grid, initial_arrays=ArrayRecord(start), num_rounds=rounds, evaluate_fn=evaluate
    )

    # Possible here because this data is public: the same passes without a federation.
    epochs, learning_rate = rounds * int(config["local-epochs"]), float(config["learning-rate"])
    central = fit(start, everything, epochs, learning_rate, seed)
    first_node = load_partition(0, len(list(grid.get_node_ids())), seed)
    alone = fit(start, first_node, epochs, learning_rate, seed)
    most_frequent = np.bincount(everything[1]).argmax()
    federated = result.arrays.to_numpy_ndarrays()
    print(
        f"Result: accuracy federated {accuracy(federated, held_out):.4f}, "
        f"central {accuracy(central, held_out):.4f}, alone {accuracy(alone, held_out):.4f}, "
        f"constant {(held_out[1] == most_frequent).mean():.4f}"
    )
