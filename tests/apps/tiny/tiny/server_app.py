"""FedAvg for a few rounds; prints a digest of the final model."""

import hashlib
import os
import sys
import time

import numpy as np
from flwr.app import ArrayRecord, Context, Message, RecordDict
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
    asked = [
        Message(content=RecordDict(), dst_node_id=n, message_type="query.whoami") for n in ids
    ]
    replies = grid.send_and_receive(asked)
    seen = sorted(int(r.content["answer"]["partition"]) for r in replies if r.has_content())
    print(f"partitions: {seen}", flush=True)

    strategy = FedAvg(min_train_nodes=nodes, min_evaluate_nodes=nodes, min_available_nodes=nodes)
    if fail == "server-killed":
        os.kill(os.getpid(), 9)
    size = int(config["size"])
    result = strategy.start(
        grid=grid,
        initial_arrays=ArrayRecord([np.zeros(size, dtype=np.float32)]),
        num_rounds=int(config["num-rounds"]),
        evaluate_fn=lambda r, arrays: print(f"round {r} evaluated", flush=True),
    )
    (model,) = result.arrays.to_numpy_ndarrays()
    # Rounded: replies arrive in any order, and float sums depend on it in the last bit.
    digest = hashlib.sha256(np.round(model.astype(np.float64), 4).tobytes()).hexdigest()
    last = result.train_metrics_clientapp[int(config["num-rounds"])]
    print(f"rounds-seen: {last['rounds-seen']} calls: {last['calls']}", flush=True)
    print(f"model digest: {digest}", flush=True)
