"""What a node does when it is asked."""

import torch
from torch import nn

from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from .task import Data, fit, load_partition, measure, new_net

torch.set_num_threads(1)  # nodes of a simulation run side by side

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """Train the received network on this node's images."""
    config, data = context.run_config, _data(context)
    server_round = message.content.config_records["config"]["server-round"]
    assert isinstance(server_round, int)
    net = _received(message)
    seed = int(config["seed"]) + server_round
    fit(net, data, int(config["local-epochs"]), float(config["learning-rate"]), seed)
    content = RecordDict({"arrays": ArrayRecord(net.state_dict()), "metrics": _metrics(net, data)})
    return Message(content, reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Measure the received network on this node's images."""
    content = RecordDict({"metrics": _metrics(_received(message), _data(context))})
    return Message(content, reply_to=message)


def _received(message: Message) -> nn.Module:
    net = new_net()
    net.load_state_dict(message.content.array_records["arrays"].to_torch_state_dict())
    return net


def _metrics(net: nn.Module, data: Data) -> MetricRecord:
    loss, accuracy = measure(net, data)
    return MetricRecord({"loss": loss, "accuracy": accuracy, "num-examples": len(data[1])})


def _data(context: Context) -> Data:
    return load_partition(
        int(context.node_config["partition-id"]),
        int(context.node_config["num-partitions"]),
        int(context.run_config["seed"]),
    )
