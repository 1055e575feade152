"""client-side-privacy: what leaves the node is clipped and noisy."""

import numpy as np

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.clientapp.mod import LocalDpMod, adaptiveclipping_mod

app = ClientApp()

# No noise: nobody but the node may know it, so no seed makes it repeatable.
local_dp = LocalDpMod(clipping_norm=2.0, sensitivity=0.0, epsilon=1.0, delta=1e-5)


@app.train(mods=[adaptiveclipping_mod])
def train(msg: Message, context: Context) -> Message:
    """Answer the strategy with adaptive clipping."""
    return trained(msg, context)


@app.train("locally", mods=[local_dp])
def train_locally(msg: Message, context: Context) -> Message:
    """Answer the hand-written round."""
    return trained(msg, context)


def trained(msg: Message, context: Context) -> Message:
    partition_id = int(context.node_config["partition-id"])
    rng = np.random.default_rng([partition_id, msg.content["config"]["server-round"]])
    model = [
        layer + rng.normal(size=layer.shape) * (partition_id + 1)
        for layer in msg.content["arrays"].to_numpy_ndarrays()
    ]
    metrics = MetricRecord({"loss": 0.5, "num-examples": 8})
    content = RecordDict({"arrays": ArrayRecord(model), "metrics": metrics})
    return Message(content=content, reply_to=msg)
