"""What a node does when it is asked."""

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from .task import fit, load_data, loss

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """Fit the received model to this node's data."""
    x, y = _data(context)
    model = fit(
        message.content["arrays"].to_numpy_ndarrays(),
        x,
        y,
        steps=int(context.run_config["local-steps"]),
        rate=float(context.run_config["learning-rate"]),
    )
    metrics = MetricRecord({"train-loss": loss(model, x, y), "num-examples": len(x)})
    return Message(RecordDict({"arrays": ArrayRecord(model), "metrics": metrics}), reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Measure the received model on this node's data."""
    x, y = _data(context)
    model = message.content["arrays"].to_numpy_ndarrays()
    metrics = MetricRecord({"eval-loss": loss(model, x, y), "num-examples": len(x)})
    return Message(RecordDict({"metrics": metrics}), reply_to=message)


def _data(context: Context):
    partition = int(context.node_config.get("partition-id", 0))
    return load_data(partition, int(context.run_config["seed"]))
