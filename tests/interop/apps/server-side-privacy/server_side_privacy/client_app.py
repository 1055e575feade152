"""server-side-privacy: nodes know nothing of it."""

import numpy as np

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


@app.train()
def train(msg: Message, context: Context) -> Message:
    """Move by an update of a length that depends on the node."""
    partition_id = int(context.node_config["partition-id"])
    rng = np.random.default_rng([partition_id, msg.content["config"]["server-round"]])
    model = [
        layer + (rng.normal(size=layer.shape) * 0.2 * (partition_id + 1)).astype(layer.dtype)
        for layer in msg.content["arrays"].to_numpy_ndarrays()
    ]
    metrics = MetricRecord({"loss": 1.0 / (1 + partition_id), "num-examples": 8})
    content = RecordDict({"arrays": ArrayRecord(model), "metrics": metrics})
    return Message(content=content, reply_to=msg)


@app.evaluate()
def evaluate(msg: Message, context: Context) -> Message:
    """Tell how large the model is."""
    model = msg.content["arrays"].to_numpy_ndarrays()
    metrics = MetricRecord({"size": float(np.abs(model[0]).sum()), "num-examples": 1})
    return Message(content=RecordDict({"metrics": metrics}), reply_to=msg)
