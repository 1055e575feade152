"""mods-in-a-row: what is wrapped around what a node does."""

import numpy as np

from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.clientapp.mod import arrays_size_mod, fixedclipping_mod, message_size_mod
from flwr.clientapp.typing import ClientAppCallable


def counting_mod(msg: Message, context: Context, call_next: ClientAppCallable) -> Message:
    """Count messages of each type in the state; tell the count with the metrics."""
    counts = context.state.config_records.get("counts", ConfigRecord())
    before = counts.get(msg.metadata.message_type, 0)
    assert isinstance(before, int)
    counts[msg.metadata.message_type] = before + 1
    context.state["counts"] = counts
    reply = call_next(msg, context)
    if reply.has_content():
        for metrics in reply.content.metric_records.values():
            metrics["count"] = before + 1
    return reply


def lazy_mod(msg: Message, context: Context, call_next: ClientAppCallable) -> Message:
    """Answer in place of the function, if the node is lazy in this round."""
    partition_id = int(context.node_config["partition-id"])
    if msg.content["config"]["server-round"] % 3 == partition_id:
        (model,) = msg.content["arrays"].to_numpy_ndarrays()
        metrics = MetricRecord({"norm": 0.25, "num-examples": 1, "lazy": 1})
        nearby = ArrayRecord([model + np.array([[0.25], [0.0]])])
        content = RecordDict({"arrays": nearby, "metrics": metrics})
        return Message(content=content, reply_to=msg)
    return call_next(msg, context)


app = ClientApp(mods=[message_size_mod, counting_mod, arrays_size_mod])


@app.train(mods=[fixedclipping_mod, lazy_mod])
def train(msg: Message, context: Context) -> Message:
    """Move far away; mods see to it that it is not too far."""
    model = msg.content["arrays"].to_numpy_ndarrays()
    step = float(context.node_config["partition-id"]) * 2 + 1
    trained = [layer + step * np.array([[3.0], [4.0]]) for layer in model]
    metrics = MetricRecord({"norm": 5.0 * step, "num-examples": int(step), "lazy": 0})
    content = RecordDict({"arrays": ArrayRecord(trained), "metrics": metrics})
    return Message(content=content, reply_to=msg)


@app.evaluate()
def evaluate(msg: Message, context: Context) -> Message:
    """Tell the length of the model."""
    (layer,) = msg.content["arrays"].to_numpy_ndarrays()
    metrics = MetricRecord({"length": float(np.linalg.norm(layer)), "num-examples": 1})
    return Message(content=RecordDict({"metrics": metrics}), reply_to=msg)
