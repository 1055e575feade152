"""Answers with what it was given."""

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from gear import given

app = ClientApp()


@app.query()
def report(message: Message, context: Context) -> Message:
    found = given.look(context.run_config)
    found["ward"] = str(context.node_config.get("ward", "missing"))
    return Message(content=RecordDict({"found": ConfigRecord(found)}), reply_to=message)
