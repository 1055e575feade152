"""What a node does when it is asked."""

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from .task import Data, grow, load_partition, measure, to_array

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """Grow trees on this node's cases; only the new ones are sent."""
    data = _data(context)
    trees = grow(
        _model(message),
        data,
        trees=int(context.run_config["local-trees"]),
        depth=int(context.run_config["max-depth"]),
        rate=float(context.run_config["learning-rate"]),
    )
    metrics = MetricRecord({"num-examples": len(data[1])})
    content = RecordDict({"arrays": ArrayRecord([to_array(trees)]), "metrics": metrics})
    return Message(content, reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Measure the received forest on this node's cases."""
    data = _data(context)
    metrics = MetricRecord({"auc": measure(_model(message), data), "num-examples": len(data[1])})
    return Message(RecordDict({"metrics": metrics}), reply_to=message)


def _model(message: Message) -> bytes:
    return message.content["arrays"]["0"].numpy().tobytes()


def _data(context: Context) -> Data:
    return load_partition(
        int(context.node_config["partition-id"]),
        int(context.node_config["num-partitions"]),
        int(context.run_config["seed"]),
    )
