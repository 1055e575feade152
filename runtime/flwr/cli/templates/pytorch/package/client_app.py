"""What a node does when it is asked."""

import torch
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from .task import Net, fit, load_partition, measure

app = ClientApp()
torch.set_num_threads(1)  # nodes of one machine share its CPUs


@app.train()
def train(message: Message, context: Context) -> Message:
    """Train the received network on this node's images."""
    net, data = _net(message), _data(context)
    loss = fit(
        net,
        data,
        epochs=int(context.run_config["local-epochs"]),
        rate=float(context.run_config["learning-rate"]),
        batch_size=int(context.run_config["batch-size"]),
    )
    metrics = MetricRecord({"train-loss": loss, "num-examples": len(data)})
    content = RecordDict({"arrays": ArrayRecord(net.state_dict()), "metrics": metrics})
    return Message(content, reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Measure the received network on this node's images."""
    data = _data(context)
    loss, accuracy = measure(_net(message), data)
    metrics = {"eval-loss": loss, "eval-accuracy": accuracy, "num-examples": len(data)}
    return Message(RecordDict({"metrics": MetricRecord(metrics)}), reply_to=message)


def _net(message: Message) -> Net:
    net = Net()
    net.load_state_dict(message.content["arrays"].to_torch_state_dict())
    return net


def _data(context: Context):
    return load_partition(
        int(context.node_config["partition-id"]),
        int(context.node_config["num-partitions"]),
        int(context.run_config["seed"]),
    )
