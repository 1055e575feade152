"""What a node answers.  Its values stay here: only sums and counts leave."""

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from .task import load_data

app = ClientApp()


@app.query()
def describe(message: Message, context: Context) -> Message:
    """Answer with count, sum and sum of squares."""
    values = _data(context)
    sums = {
        "count": len(values),
        "sum": float(values.sum()),
        "squares": float(np.square(values).sum()),
    }
    return Message(RecordDict({"sums": MetricRecord(sums)}), reply_to=message)


@app.query("histogram")
def histogram(message: Message, context: Context) -> Message:
    """Answer how many values lie between the edges that are asked for."""
    edges = np.array(message.content["question"]["edges"])
    counts, _ = np.histogram(np.clip(_data(context), edges[0], edges[-1]), edges)
    return Message(RecordDict({"counts": ArrayRecord({"counts": Array(counts)})}), reply_to=message)


def _data(context: Context) -> np.ndarray:
    partition = int(context.node_config.get("partition-id", 0))
    return load_data(partition, int(context.run_config["seed"]))
