"""Sends ones; the first node of a federation sends half a file that it calls an array."""

import numpy as np

from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    array = Array(np.ones(4, np.float32))
    if context.node_config["partition-id"] == 0:
        array = Array(array.dtype, array.shape, array.stype, array.data[:-8])
    metrics = MetricRecord({"num-examples": 1})
    records = RecordDict({"arrays": ArrayRecord({"0": array}), "metrics": metrics})
    return Message(records, reply_to=message)
