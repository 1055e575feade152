"""Answers with what it can import, after a while."""

import time

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from versions import inventory

app = ClientApp()


@app.query()
def report(message: Message, context: Context) -> Message:
    found = inventory.take(context.run_config)
    time.sleep(float(context.run_config["pause"]))
    return Message(content=RecordDict({"found": ConfigRecord(found)}), reply_to=message)
