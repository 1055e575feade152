"""What a node does when it is asked."""

import numpy as np

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from .task import boost, load_partition, measure, newest_tree, settings

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """Add one tree to the received ones, and reply with that."""
    config, seed = context.run_config, int(context.run_config["seed"])
    node, nodes = (int(context.node_config[key]) for key in ("partition-id", "num-partitions"))
    server_round = message.content.config_records["config"]["server-round"]
    assert isinstance(server_round, int)
    told = settings(
        # Every node corrects the same errors, so each of their trees is a share of one step.
        float(config["learning-rate"]) / nodes,
        int(config["max-depth"]),
        float(config["first-guess"]),
        seed + server_round * nodes + node,
    )
    data = load_partition(node, nodes, seed)
    (received,) = message.content.array_records["arrays"].to_numpy_ndarrays()
    booster = boost(received.tobytes(), data, told, trees=1)
    tree = np.frombuffer(newest_tree(booster), np.uint8)
    metrics = MetricRecord({"train-r2": measure(booster, data), "num-examples": len(data[1])})
    content = RecordDict({"arrays": ArrayRecord([tree]), "metrics": metrics})
    return Message(content, reply_to=message)
