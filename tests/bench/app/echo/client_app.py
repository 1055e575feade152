"""Adds a number to the model, which no other node adds."""

import time

import numpy as np

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    (model,) = message.content["arrays"].to_numpy_ndarrays()
    partition = int(context.node_config.get("partition-id", 0))
    update = model + np.float32(0.5 + partition / 128)
    metrics = MetricRecord({"num-examples": 1 + partition % 7})
    content = RecordDict({"arrays": ArrayRecord([update]), "metrics": metrics})
    if hold := float(message.content["config"]["hold"]):
        time.sleep(hold)
    return Message(content=content, reply_to=message)
