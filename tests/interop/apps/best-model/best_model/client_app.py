"""best-model: what a node does."""

from best_model.task import load_data
from best_model.task import test as test_fn
from best_model.task import train as train_fn
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


@app.train()
def train(msg: Message, context: Context) -> Message:
    """Train the model on local data."""
    model = msg.content["arrays"].to_numpy_ndarrays()
    partition_id = int(context.node_config["partition-id"])
    x, y = load_data(partition_id, size=20 + 5 * partition_id)

    train_loss = train_fn(
        model, x, y, int(context.run_config["local-epochs"]), msg.content["config"]["lr"]
    )

    metrics = {"train_loss": train_loss, "num-examples": len(y)}
    content = RecordDict({"arrays": ArrayRecord(model), "metrics": MetricRecord(metrics)})
    return Message(content=content, reply_to=msg)


@app.evaluate()
def evaluate(msg: Message, context: Context) -> Message:
    """Evaluate the model on local data."""
    model = msg.content["arrays"].to_numpy_ndarrays()
    x, y = load_data(int(context.node_config["partition-id"]) + 100, size=10)
    metrics = MetricRecord({"eval_loss": test_fn(model, x, y), "num-examples": len(y)})
    return Message(content=RecordDict({"metrics": metrics}), reply_to=msg)
