"""Prints what it can import, and what the first node can."""

import time

from flwr.app import Context, Message, RecordDict
from flwr.serverapp import Grid, ServerApp
from versions import inventory

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    print(f"serverapp: {inventory.take(context.run_config)}", flush=True)
    while not (nodes := list(grid.get_node_ids())):
        time.sleep(0.2)
    asked = Message(content=RecordDict(), dst_node_id=nodes[0], message_type="query")
    (reply,) = grid.send_and_receive([asked])
    print(f"clientapp: {dict(reply.content['found']) if reply.has_content() else reply.error}")
