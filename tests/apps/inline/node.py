"""Answers with this site's share, times what the run's config says."""

from flwr.app import Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


@app.query()
def share(message: Message, context: Context) -> Message:
    factor = int(context.run_config["factor"])
    answer = MetricRecord({"share": factor * (int(context.node_config["partition-id"]) + 1)})
    return Message(content=RecordDict({"answer": answer}), reply_to=message)
