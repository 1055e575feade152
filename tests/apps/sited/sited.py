"""Adds up this node's data: a site's own file, or, simulated, its part of numbers all can make."""

from pathlib import Path

from flwr.app import Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


def load(context: Context) -> list[int]:
    node = context.node_config
    if "data" in node:
        return [int(word) for word in Path(str(node["data"])).read_text().split()]
    return list(range(1, 11))[int(node["partition-id"]) :: int(node["num-partitions"])]


@app.query()
def share(message: Message, context: Context) -> Message:
    answer = MetricRecord({"share": sum(load(context))})
    return Message(content=RecordDict({"answer": answer}), reply_to=message)
