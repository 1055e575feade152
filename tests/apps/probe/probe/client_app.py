"""Does the deed that the run asks for; ``by-partition`` has one for each node."""

import json
import time

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from probe.deeds import DEEDS

app = ClientApp()


@app.query("probe")
def probe(message: Message, context: Context) -> Message:
    config, partition = context.run_config, int(context.node_config["partition-id"])
    deed, argument = str(config["deed"]), str(config["argument"])
    if deed == "by-partition":
        deed, _, argument = argument.split()[partition].partition(":")
    met = DEEDS[deed](argument)
    time.sleep(float(config["pause"]))
    answer = ConfigRecord({"partition": partition, "met": json.dumps(met)})
    return Message(content=RecordDict({"answer": answer}), reply_to=message)
