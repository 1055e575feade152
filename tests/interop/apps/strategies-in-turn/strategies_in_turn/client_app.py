"""strategies-in-turn: what a node does, the same for every strategy."""

import numpy as np

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


@app.train()
def train(msg: Message, context: Context) -> Message:
    """Move the model by noise that depends on node and round; two nodes exaggerate."""
    partition_id = int(context.node_config["partition-id"])
    config = msg.content["config"]
    rng = np.random.default_rng([partition_id, config["server-round"]])
    exaggeration = 10.0 if partition_id < 1 else 1.0
    proximal = 1.0 - config.get("proximal-mu", 0.0)
    model = [
        layer + (rng.normal(0.5, 0.2, layer.shape) * exaggeration * proximal).astype(layer.dtype)
        for layer in msg.content["arrays"].to_numpy_ndarrays()
    ]
    metrics = {
        "num-examples": 10 + partition_id,
        "train_loss": float(rng.uniform(0.5, 2)),
        "per-class": rng.uniform(size=3).tolist(),
    }
    content = RecordDict({"arrays": ArrayRecord(model), "metrics": MetricRecord(metrics)})
    return Message(content=content, reply_to=msg)


@app.evaluate()
def evaluate(msg: Message, context: Context) -> Message:
    """Tell how large the model is."""
    model = msg.content["arrays"].to_numpy_ndarrays()
    metrics = MetricRecord({"size": float(np.abs(model[0]).sum()), "num-examples": 1})
    return Message(content=RecordDict({"metrics": metrics}), reply_to=msg)
