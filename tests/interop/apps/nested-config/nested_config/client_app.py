"""nested-config: tells what a node sees of the configuration."""

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.common.config import unflatten_dict

app = ClientApp()


@app.query()
def query(msg: Message, context: Context) -> Message:
    """Send back what came, and what the node knows."""
    echoed: ConfigRecord = msg.content["values"]
    types = {
        key: type(value[0] if isinstance(value, list) and value else value).__name__
        for key, value in echoed.items()
    }
    nested = unflatten_dict(context.run_config)
    known = ConfigRecord(
        {
            "run": sorted(f"{key}={value!r}" for key, value in context.run_config.items()),
            "model": sorted(f"{key}={value!r}" for key, value in nested["model"]["layers"].items()),
            "partition": context.node_config["partition-id"],
            "of": context.node_config["num-partitions"],
        }
    )
    content = RecordDict({"values": echoed, "types": ConfigRecord(types), "known": known})
    return Message(content, reply_to=msg, ttl=60)
