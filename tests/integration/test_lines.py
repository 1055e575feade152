"""Lines of nodes in a federation of real programs: used, and not missed when they break."""

import json
import re
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.harness.apps import TINY, config
from tests.harness.federation import Federation
from tests.harness.program import Program, eventually
from tests.harness.tap import Tap
from tests.harness.toolset import OURS

ROUNDS = 3
_LOUD = ("--log-level", "DEBUG", "--log-format", "json")


def calls_of(superlink: Program) -> Counter[str]:
    """Count what the SuperLink's access log names on the Fleet port."""
    found: Counter[str] = Counter()
    for line in superlink.output.splitlines():
        if '"call"' in line and (start := line.find("{")) >= 0:
            method = json.loads(line[start:]).get("method", "")
            found[method.rpartition("/")[2]] += "/flwr.proto.Fleet/" in method or "Line" in method
    return found


def lines_of(node: Program) -> int:
    """Count the lines that a node opened."""
    return node.output.count('"event": "line-opened"')


@pytest.mark.row("F2", "F20")
def test_rounds_go_by_lines_and_lose_nothing_when_the_network_breaks(tmp_path: Path) -> None:
    with Federation(tmp_path, tls=False) as federation:
        superlink = federation.start_superlink(OURS, *_LOUD)
        with Tap(federation.fleet) as tap:
            direct, federation.fleet = federation.fleet, tap.address
            nodes = [federation.start_node(n, OURS, *_LOUD) for n in (1, 2)]
            federation.await_nodes(2)
            federation.fleet = direct
            quiet = federation.submit(TINY, *config(num_rounds=ROUNDS, evaluate=False))
            federation.await_end(quiet)
            calls = calls_of(superlink)
            assert calls["ActivateNode"] == 2
            assert calls["PushMessages"] == 0
            assert calls["PullMessages"] == 0

            gate = tmp_path / "gate"
            held = config(num_rounds=ROUNDS, evaluate=False, pause_round=2, until=str(gate))
            cut = federation.submit(TINY, *held)
            federation.await_log(cut, "[ROUND 2/")
            for _ in range(2):
                tap.cut()
                time.sleep(0.2)
            gate.touch()
            ended = federation.await_end(cut)
            for node in nodes:
                eventually(lambda node=node: lines_of(node) >= 2, timeout=60)  # type: ignore[misc]
        assert ended["status"] == "finished:completed"
        received = re.findall(r"Received (\d+) results and (\d+) fail", federation.log_of(cut))
        assert received == [("2", "0")] * ROUNDS
