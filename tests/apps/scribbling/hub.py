"""Sends one model to a node several times, twice at once, and writes to what comes back."""

import numpy as np
from node import scribble

from flwr.app import ArrayRecord, Context, Message, RecordDict
from flwr.serverapp import Grid, ServerApp

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    model = np.arange(int(context.run_config["size"]), dtype=np.float32)
    content = RecordDict({"arrays": ArrayRecord([model])})
    (only,) = grid.get_node_ids()
    for _ in range(2):
        asked = [Message(content, dst_node_id=only, message_type="query") for _ in range(2)]
        for reply in grid.send_and_receive(asked):
            print(f"at the node: {reply.content['seen']['text']}", flush=True)
            print(f"at the hub: {scribble(reply.content['arrays'], model + 1)}", flush=True)
