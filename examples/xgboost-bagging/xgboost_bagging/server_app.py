"""The rounds, and how good the trees of all nodes are beside those of one."""

import numpy as np

from flwr.app import ArrayRecord, Context, MetricRecord
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedXgbBagging

from .task import boost, load, load_partition, load_split, measure, settings

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Collect a tree of every node in each round; compare the model with other predictors."""
    config = context.run_config
    rounds, seed = int(config["num-server-rounds"]), int(config["seed"])
    everything, held_out = load_split(seed)

    def evaluate(server_round: int, arrays: ArrayRecord) -> MetricRecord | None:
        if server_round == 0:
            return None  # there are no trees yet
        r2 = measure(load(arrays.to_numpy_ndarrays()[0]), held_out)
        print(f"Round {server_round}: R2 {r2:.4f}")
        return MetricRecord({"r2": r2})

    result = FedXgbBagging(fraction_evaluate=0.0).start(
        grid=grid,
        initial_arrays=ArrayRecord([np.empty(0, np.uint8)]),
        num_rounds=rounds,
        evaluate_fn=evaluate,
    )

    # Possible here because this data is public: as many steps without a federation.
    federated = load(result.arrays.to_numpy_ndarrays()[0])
    told = settings(
        float(config["learning-rate"]),
        int(config["max-depth"]),
        float(config["first-guess"]),
        seed,
    )
    central = boost(b"", everything, told, rounds)
    first_node = load_partition(0, len(list(grid.get_node_ids())), seed)
    alone = boost(b"", first_node, told, rounds)
    constant = 1 - np.mean((held_out[1] - everything[1].mean()) ** 2) / held_out[1].var()
    print(
        f"Result: R2 federated {measure(federated, held_out):.4f}, "
        f"central {measure(central, held_out):.4f}, alone {measure(alone, held_out):.4f}, "
        f"constant {constant:.4f}; trees {federated.num_boosted_rounds()}"
    )
