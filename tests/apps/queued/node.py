"""Works for as long as it is told to, and says when that was and which GPUs it saw."""

import os
import time
from pathlib import Path

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


@app.query()
def work(message: Message, context: Context) -> Message:
    began = time.monotonic()
    if begun := str(context.run_config["begun"]):
        Path(begun).touch()
    time.sleep(float(message.content["work"]["seconds"]))
    gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "all")
    answer = ConfigRecord({"began": began, "ended": time.monotonic(), "gpus": gpus})
    return Message(content=RecordDict({"answer": answer}), reply_to=message)
