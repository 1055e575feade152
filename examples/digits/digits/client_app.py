"""What a node does when it is asked."""

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from .task import Data, fit, load_partition, measure

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """Train the received model on this node's images."""
    data = _data(context)
    received = message.content["arrays"].to_numpy_ndarrays()
    model = fit(received, data, int(context.run_config["local-iterations"]))
    loss, accuracy = measure(model, data)
    metrics = {"train-loss": loss, "train-accuracy": accuracy, "num-examples": len(data[1])}
    content = RecordDict({"arrays": ArrayRecord(model), "metrics": MetricRecord(metrics)})
    return Message(content, reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Measure the received model on this node's images."""
    data = _data(context)
    loss, accuracy = measure(message.content["arrays"].to_numpy_ndarrays(), data)
    metrics = {"eval-loss": loss, "eval-accuracy": accuracy, "num-examples": len(data[1])}
    return Message(RecordDict({"metrics": MetricRecord(metrics)}), reply_to=message)


def _data(context: Context) -> Data:
    return load_partition(
        int(context.node_config["partition-id"]),
        int(context.node_config["num-partitions"]),
        int(context.run_config["seed"]),
    )
