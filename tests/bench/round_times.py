"""Round time, CPU and memory of a federation of processes on this machine.

``python -m tests.bench.round_times --nodes 2`` runs the tiny app (a 100-float model, trivial
training) in a federation of its own and prints one JSON document.  ``--upstream`` measures
upstream's release of the contract instead, with the same app file.
"""

import argparse
import json
import os
import re
import sys
import tempfile
import time
from pathlib import Path

from tests.harness.apps import TINY, config
from tests.harness.federation import CONNECTION, Federation
from tests.harness.program import Program, descendants
from tests.harness.toolset import OURS, Toolset, upstream

_TICK = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def memory_mb(pid: int) -> float:
    """Return resident memory of one process in MB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE / 1e6


def cpu_s(pid: int) -> float:
    """Return CPU seconds of one process and of its reaped children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return sum(int(f) for f in fields[11:15]) / _TICK


def tree_cpu_s(programs: list[Program]) -> float:
    """Return CPU seconds of the programs and everything below them."""
    total = 0.0
    for program in programs:
        for pid in (program.pid, *descendants(program.pid)):
            try:
                total += cpu_s(pid)
            except OSError:
                continue
    return total


def measure(tools: Toolset, *, nodes: int, rounds: int, tls: bool) -> dict[str, object]:
    """Run the tiny app and return what it cost."""
    with (
        tempfile.TemporaryDirectory() as folder,
        Federation(Path(folder), tls=tls, nodes=nodes) as federation,
    ):
        link = federation.start_superlink(tools)
        sites = [federation.start_node(n, tools, of=nodes) for n in range(1, nodes + 1)]
        federation.await_nodes(nodes, timeout=120)
        idle = {
            "superlink": memory_mb(link.pid),
            "supernode": memory_mb(sites[0].pid),
            "superexec": max((memory_mb(p) for p in descendants(sites[0].pid)), default=0.0),
        }
        before, begun = tree_cpu_s([link, *sites]), time.monotonic()
        settings = config(num_rounds=rounds, nodes=nodes, evaluate=False)
        done = federation.flwr(
            "run", str(TINY), CONNECTION, "--stream", *settings, tools=tools, timeout=900
        )
        wall = time.monotonic() - begun
        used = tree_cpu_s([link, *sites]) - before
        found = re.search(r"Strategy execution finished in ([\d.]+)s", done.stdout)
        if found is None:
            raise SystemExit(f"the run did not finish:\n{done.stdout}\n{done.stderr}")
        return {
            "package": tools.name,
            "nodes": nodes,
            "rounds": rounds,
            "tls": tls,
            "round_s": round(float(found[1]) / rounds, 3),
            "submit_to_end_s": round(wall, 2),
            "cpu_per_round_s": round(used / rounds, 3),
            "memory_mb": {name: round(value, 1) for name, value in idle.items()},
            "superlink_after_mb": round(memory_mb(link.pid), 1),
        }


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--nodes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--upstream", action="store_true", help="measure upstream 1.29.0 instead")
    args = parser.parse_args()
    tools = upstream("1.29.0") if args.upstream else OURS
    print(json.dumps(measure(tools, nodes=args.nodes, rounds=args.rounds, tls=args.tls), indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
