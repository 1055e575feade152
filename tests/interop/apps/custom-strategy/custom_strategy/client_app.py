"""custom-strategy: what a node does."""

import numpy as np

from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


@app.train()
def train(msg: Message, context: Context) -> Message:
    """Move towards the node's own point, as far as the learning rate allows."""
    config = msg.content["config"]
    goal = float(context.node_config["partition-id"]) + 1
    weights, bias = (msg.content["arrays"][name].numpy() for name in ("weights", "bias"))
    distance = float(np.abs(goal - weights).sum())
    weights += config["lr"] * (goal - weights)
    bias = bias + config["lr"]

    arrays = ArrayRecord({"weights": Array(weights), "bias": Array(np.asarray(bias))})
    metrics = MetricRecord({"distance": distance, "num-examples": 10 * max(1, int(goal) - 1)})
    text = f"node {goal} in round {config['server-round']} with {config['lr']:.4f}"
    report = ConfigRecord({"text": text})
    content = RecordDict({"arrays": arrays, "metrics": metrics, "report": report})
    return Message(content=content, reply_to=msg)


@app.evaluate()
def evaluate(msg: Message, context: Context) -> Message:
    """Tell how far the model is from the node's own point."""
    weights = msg.content["arrays"]["weights"].numpy()
    goal = float(context.node_config["partition-id"]) + 1
    metrics = {"distance": float(np.abs(goal - weights).sum()), "num-examples": 1}
    return Message(content=RecordDict({"metrics": MetricRecord(metrics)}), reply_to=msg)
