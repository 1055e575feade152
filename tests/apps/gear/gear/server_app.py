"""Prints what it was given, and what the first node was."""

import json
import time

from flwr.app import Context, Message, RecordDict
from flwr.serverapp import Grid, ServerApp
from gear import given

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    print(f"serverapp: {json.dumps(given.look(context.run_config))}", flush=True)
    while not (nodes := list(grid.get_node_ids())):
        time.sleep(0.2)
    asked = Message(content=RecordDict(), dst_node_id=nodes[0], message_type="query")
    (reply,) = grid.send_and_receive([asked])
    found = dict(reply.content["found"]) if reply.has_content() else {"error": str(reply.error)}
    print(f"clientapp: {json.dumps(found)}")
