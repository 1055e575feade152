"""failing-nodes: what can go wrong on a node."""

import numpy as np

from flwr.app import ArrayRecord, Context, Error, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


@app.train()
def train(msg: Message, context: Context) -> Message:
    """Train, unless it is this node's turn to fail."""
    partition_id = int(context.node_config["partition-id"])
    server_round = msg.content["config"]["server-round"]
    if server_round == 2 and partition_id == 0:
        raise ZeroDivisionError("division by nothing")
    if server_round == 2 and partition_id == 1:
        return Message(Error(code=77, reason="this node is tired"), reply_to=msg)
    if server_round == 3:
        raise KeyError("everybody")
    (model,) = msg.content["arrays"].to_numpy_ndarrays()
    metrics = MetricRecord({"num-examples": 2**partition_id, "partition": partition_id})
    content = RecordDict(
        {"arrays": ArrayRecord([model + np.float32(partition_id)]), "metrics": metrics}
    )
    return Message(content=content, reply_to=msg)
