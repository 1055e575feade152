"""What a node does when it is asked."""

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from .task import accuracy, fit, load_partition

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """Train the received model on this node's images."""
    config, seed = context.run_config, int(context.run_config["seed"])
    partition_id = int(context.node_config["partition-id"])
    server_round = message.content.config_records["config"]["server-round"]
    assert isinstance(server_round, int)
    data = load_partition(partition_id, int(context.node_config["num-partitions"]), seed)
    model = fit(
        message.content.array_records["arrays"].to_numpy_ndarrays(),
        data,
        int(config["local-epochs"]),
        float(config["learning-rate"]),
        seed + server_round,
    )
    metrics = MetricRecord({"train-accuracy": accuracy(model, data), "num-examples": len(data[1])})
    content = RecordDict({"arrays": ArrayRecord(model), "metrics": metrics})
    return Message(content, reply_to=message)
