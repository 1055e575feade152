"""What a simulation costs depends on the nodes that take part, not on those that could."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, Final

import pytest

import flwr

SCRIPT: Final = """
import json, re, sys
from pathlib import Path
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation
import numpy as np

rounds, sampled, ballast, *sizes = map(int, sys.argv[1:])
server, client = ServerApp(), ClientApp()
found = {}

@client.train()
def train(message, context):
    seen = context.state.config_records.setdefault("seen", ConfigRecord({"times": 0}))
    seen["times"] += 1
    seen["ballast"] = bytes(ballast)
    metrics = MetricRecord({"num-examples": 1, "times": seen["times"]})
    return Message(RecordDict({"a": message.content["arrays"], "m": metrics}), reply_to=message)

@server.main()
def main(grid, context):
    strategy = FedAvg(fraction_train=sampled / nodes, fraction_evaluate=0.0)
    result = strategy.start(grid, ArrayRecord([np.zeros(1000)]), num_rounds=rounds)
    found["times"] = [m["times"] for m in result.train_metrics_clientapp.values()]
    found["nodes"] = len(set(grid.get_node_ids()))

config = {"client_resources": {"num_cpus": 1}}
for nodes in sizes:
    run_simulation(server, client, nodes, backend_name="pool", backend_config=config)
    status = Path("/proc/self/status").read_text()
    found["peak-mb"] = int(re.search(r"VmHWM:\\s+(\\d+)", status)[1]) / 1024
    print(json.dumps(found))
"""


def simulate(
    root: Path, *sizes: int, rounds: int, sampled: int, ballast: int = 0
) -> list[dict[str, Any]]:
    """Simulate federations of some sizes, one after the other in one process."""
    script = root / "script.py"
    script.write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, str(script), *map(str, (rounds, sampled, ballast, *sizes))],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(flwr.__file__).parents[1])},
        cwd=root,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


@pytest.mark.row("S76")
def test_memory_does_not_grow_with_the_number_of_nodes(tmp_path: Path) -> None:
    few, many = simulate(tmp_path, 1_000, 100_000, rounds=3, sampled=100)
    assert (few["nodes"], many["nodes"]) == (1_000, 100_000)
    assert len(many["times"]) == 3
    assert many["peak-mb"] - few["peak-mb"] < 24  # some lists of all ids, for a moment


@pytest.mark.long
def test_nor_with_the_number_of_nodes_that_keep_something(tmp_path: Path) -> None:
    few, many = simulate(tmp_path, 1_000, 100_000, rounds=15, sampled=1_000, ballast=10_000)
    assert few["times"] == pytest.approx(range(1, 16))
    assert max(many["times"]) < 2
    assert many["peak-mb"] - few["peak-mb"] < 64 + 24  # of 150 of states; the rest is on disk
