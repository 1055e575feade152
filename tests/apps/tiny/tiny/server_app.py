"""FedAvg for a few rounds; prints a digest of the final model."""

import hashlib
import os
import sys
import time

import numpy as np

from flwr.app import ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    config = context.run_config
    fail = str(config["fail"])
    if fail == "server-raises":
        raise RuntimeError("server boom")
    if fail == "server-exits":
        sys.exit(7)
    nodes = int(config["nodes"])
    if fail == "server-waits":
        print("server waits", flush=True)
        time.sleep(600)
    while len(list(grid.get_node_ids())) < nodes:
        time.sleep(0.2)
    ids = sorted(grid.get_node_ids())
    if int(config["only"]) >= 0:
        ask_only(grid, ids[int(config["only"])])
        return
    asked = [Message(content=RecordDict(), dst_node_id=n, message_type="query.whoami") for n in ids]
    replies = grid.send_and_receive(asked)
    seen = sorted(int(r.content["answer"]["partition"]) for r in replies if r.has_content())
    print(f"partitions: {seen}", flush=True)
    print(f"marker: {config['marker']}", flush=True)

    strategy = FedAvg(
        fraction_evaluate=1.0 if config["evaluate"] else 0.0,
        min_train_nodes=nodes,
        min_evaluate_nodes=nodes,
        min_available_nodes=nodes,
    )
    if fail == "server-killed":
        os.kill(os.getpid(), 9)
    size = int(config["size"])
    result = strategy.start(
        grid=grid,
        initial_arrays=ArrayRecord([np.zeros(size, dtype=np.float32)]),
        num_rounds=int(config["num-rounds"]),
        evaluate_fn=lambda r, _: print(f"round {r} evaluated", flush=True),
    )
    (model,) = result.arrays.to_numpy_ndarrays()
    if not config["exact"]:
        # Rounded: replies arrive in any order, and float sums depend on it in the last bit.
        # With equal weights the sum of two does not.
        model = np.round(model.astype(np.float64), 4)
    digest = hashlib.sha256(model.tobytes()).hexdigest()
    last = result.train_metrics_clientapp[int(config["num-rounds"])]
    print(f"rounds-seen: {last['rounds-seen']} calls: {last['calls']}", flush=True)
    print(f"model digest: {digest}", flush=True)


def ask_only(grid: Grid, chosen: int) -> None:
    """Train on one node, three times; the others must not even start this app."""
    arrays = ArrayRecord([np.zeros(3, dtype=np.float32)])
    for round_number in (1, 2, 3):
        content = RecordDict(
            {"arrays": arrays, "config": ConfigRecord({"server-round": round_number})},
        )
        (reply,) = grid.send_and_receive(
            [Message(content=content, dst_node_id=chosen, message_type="train")],
        )
        print(f"counter: {reply.content['metrics']['rounds-seen']}", flush=True)
