"""Has every node do the deed, does it itself unless it is theirs alone, and prints what was met."""

import json
import time

from flwr.app import Context, Message, RecordDict
from flwr.serverapp import Grid, ServerApp
from probe.deeds import DEEDS

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    config = context.run_config
    deed = str(config["deed"])
    print(f"doing: {deed}", flush=True)
    while len(list(grid.get_node_ids())) < int(config["nodes"]):
        time.sleep(0.1)
    nodes = sorted(grid.get_node_ids())
    asked = [
        Message(content=RecordDict(), dst_node_id=n, message_type="query.probe") for n in nodes
    ]
    met: dict[str, object] = {}
    if deed != "by-partition":
        met["server"] = DEEDS[deed](str(config["argument"]))
    for reply in grid.send_and_receive(asked):
        if reply.has_error():
            met["error"] = [reply.error.code, reply.error.reason]
        else:
            answer = reply.content["answer"]
            met[str(answer["partition"])] = json.loads(str(answer["met"]))
    print(f"met: {json.dumps(met)}", flush=True)
