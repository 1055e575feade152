"""A scale that all nodes share, the rounds, and how good the averaged model is."""

import time

import numpy as np

from flwr.app import (
    ArrayRecord,
    ConfigRecord,
    Context,
    Message,
    MessageType,
    MetricRecord,
    RecordDict,
)
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from .task import Scale, fit, initial_model, load_split, measure, scaled

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Average the nodes' models for some rounds; compare the last one with other predictors."""
    rounds = int(context.run_config["num-server-rounds"])
    scale = agreed_scale(grid, int(context.run_config["min-nodes"]))
    everything, held_out = load_split(int(context.run_config["seed"]))
    everything, held_out = scaled(everything, scale), scaled(held_out, scale)

    def evaluate(server_round: int, arrays: ArrayRecord) -> MetricRecord:
        loss, accuracy = measure(arrays.to_numpy_ndarrays(), held_out)
        print(f"Round {server_round}: loss {loss:.4f}, accuracy {accuracy:.4f}")
        return MetricRecord({"loss": loss, "accuracy": accuracy})

    config = {"mean": scale[0].tolist(), "spread": scale[1].tolist()}
    result = FedAvg().start(
        grid=grid,
        initial_arrays=ArrayRecord(initial_model()),
        num_rounds=rounds,
        train_config=ConfigRecord(config),
        evaluate_config=ConfigRecord(config),
        evaluate_fn=evaluate,
    )

    # Possible here because this data is public: what one machine with everything would reach.
    steps = rounds * int(context.run_config["local-steps"])
    central = fit(initial_model(), everything, steps, float(context.run_config["learning-rate"]))
    federated = result.arrays.to_numpy_ndarrays()
    constant = (held_out[1] == round(everything[1].mean())).mean()
    print(
        f"Result: accuracy federated {measure(federated, held_out)[1]:.4f}, "
        f"central {measure(central, held_out)[1]:.4f}, constant {constant:.4f}"
    )


def agreed_scale(grid: Grid, min_nodes: int) -> Scale:
    """Return mean and spread of each measurement over all nodes, from sums that they tell."""
    while len(nodes := list(grid.get_node_ids())) < min_nodes:
        time.sleep(1)
    questions = [Message(RecordDict(), node, MessageType.QUERY) for node in nodes]
    replies = [reply for reply in grid.send_and_receive(questions) if reply.has_content()]
    answers = [reply.content.metric_records["sums"] for reply in replies]
    size, sums, squares = (
        np.sum([answer[key] for answer in answers], axis=0)
        for key in ("num-examples", "sums", "squares")
    )
    mean = sums / size
    return mean, np.sqrt(squares / size - mean**2)
