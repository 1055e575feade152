"""What a node does when it is asked."""

import numpy as np

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from .task import Data, fit, load_partition, measure, scaled

app = ClientApp()


@app.query()
def sums(message: Message, context: Context) -> Message:
    """Tell the sums from which mean and spread over all nodes follow; no single value leaves."""
    measured, _ = _data(context)
    answer = {
        "num-examples": len(measured),
        "sums": measured.sum(axis=0).tolist(),
        "squares": (measured**2).sum(axis=0).tolist(),
    }
    return Message(RecordDict({"sums": MetricRecord(answer)}), reply_to=message)


@app.train()
def train(message: Message, context: Context) -> Message:
    """Train the received model on this node's tumours."""
    data = _scaled_data(message, context)
    model = fit(
        message.content.array_records["arrays"].to_numpy_ndarrays(),
        data,
        int(context.run_config["local-steps"]),
        float(context.run_config["learning-rate"]),
    )
    content = RecordDict(
        {"arrays": ArrayRecord(model), "metrics": _metrics(*measure(model, data), data)}
    )
    return Message(content, reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Measure the received model on this node's tumours."""
    data = _scaled_data(message, context)
    model = message.content.array_records["arrays"].to_numpy_ndarrays()
    content = RecordDict({"metrics": _metrics(*measure(model, data), data)})
    return Message(content, reply_to=message)


def _metrics(loss: float, accuracy: float, data: Data) -> MetricRecord:
    return MetricRecord({"loss": loss, "accuracy": accuracy, "num-examples": len(data[1])})


def _scaled_data(message: Message, context: Context) -> Data:
    config = message.content.config_records["config"]
    return scaled(_data(context), (np.array(config["mean"]), np.array(config["spread"])))


def _data(context: Context) -> Data:
    return load_partition(
        int(context.node_config["partition-id"]),
        int(context.node_config["num-partitions"]),
        int(context.run_config["seed"]),
    )
