"""named-actions: a node has some of the features; it embeds them, and learns from gradients."""

import numpy as np

from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


def features(context: Context) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Return this node's columns, the same rows on every node."""
    splits = [int(part) for part in str(context.run_config["feature-splits"]).split(",")]
    start = sum(splits[: int(context.node_config["partition-id"])])
    columns = np.arange(start, start + splits[int(context.node_config["partition-id"])])
    return (np.arange(4)[:, None] * (columns + 1) % 5 - 2) / 4


@app.query("generate_embeddings")
def generate_embeddings(msg: Message, context: Context) -> Message:
    """Send what the node's half of the model makes of its features."""
    x = features(context)
    if "model" not in context.state:
        context.state["model"] = ArrayRecord([np.full((x.shape[1], 2), 0.5)])
    (weights,) = context.state.array_records["model"].to_numpy_ndarrays()
    embedding = ArrayRecord({"embedding": Array(x @ weights)})
    position = ConfigRecord({"pos": context.node_config["partition-id"]})
    return Message(RecordDict({"arrays": embedding, "config": position}), reply_to=msg)


@app.train("apply_gradients")
def apply_gradients(msg: Message, context: Context) -> Message:
    """Update the node's half of the model; nothing needs to be told."""
    (weights,) = context.state.array_records["model"].to_numpy_ndarrays()
    gradient = msg.content.array_records["gradients"]["local"].numpy()
    weights -= float(context.run_config["lr"]) * features(context).T @ gradient
    context.state["model"] = ArrayRecord([weights])
    return Message(RecordDict(), reply_to=msg)


@app.evaluate("weights")
def show_weights(msg: Message, context: Context) -> Message:
    """Send the node's half of the model."""
    position = ConfigRecord({"pos": context.node_config["partition-id"]})
    content = RecordDict({"arrays": context.state["model"], "config": position})
    return Message(content, reply_to=msg)
