"""analytics: asks a sample of the nodes, twice, and adds up what they count."""

import json
import random
import time
from logging import INFO

import numpy as np

from flwr.app import ConfigRecord, Context, Message, MessageType, RecordDict
from flwr.common import log
from flwr.serverapp import Grid, ServerApp

app = ServerApp()
RANGES = {"height": [140.0, 200.0], "weight": [30.0, 110.0]}


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Main entry point for the ServerApp."""
    rng = random.Random(3)  # noqa: S311
    columns = str(context.run_config["columns"]).split(",")
    totals = {name: np.zeros(int(context.run_config["bins"]), int) for name in columns}
    means: list[list[float]] = []
    sites: list[str] = []

    for server_round in range(2):
        node_ids: list[int] = []
        while len(node_ids) < 3:  # wait until enough nodes are there
            node_ids = list(grid.get_node_ids())
            time.sleep(0.02)
        chosen = rng.sample(node_ids, 3)
        log(INFO, "Sampled %s nodes (out of %s)", len(chosen), len(node_ids))

        config = ConfigRecord({"columns": columns, "bins": int(context.run_config["bins"])})
        for name in columns:
            config[f"range-{name}"] = RANGES[name]
        messages = [
            Message(
                content=RecordDict({"config": config}),
                message_type=MessageType.QUERY,
                dst_node_id=node_id,
                group_id=str(server_round),
            )
            for node_id in chosen
        ]
        waiting = set(grid.push_messages(messages))
        assert len(waiting) == len(chosen)
        while waiting:
            for reply in grid.pull_messages(waiting):
                waiting.remove(reply.metadata.reply_to_message_id)
                assert reply.metadata.group_id == str(server_round)
                assert reply.metadata.src_node_id in chosen
                if reply.has_error():
                    continue
                found = reply.content["query_results"]
                for name in columns:
                    totals[name] += np.array(found[name])
                means.append([found[f"{name}-mean"] for name in columns])
                sites.append(reply.content["site"]["name"])
            time.sleep(0.01)

    outcome = {
        "histograms": {name: counts.tolist() for name, counts in totals.items()},
        "means": sorted(means),
        "sites": sorted(sites),
    }
    print("outcome:", json.dumps(outcome), flush=True)
