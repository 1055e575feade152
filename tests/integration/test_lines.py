"""Lines of nodes in a federation of real programs: used, and not missed when they break."""

import json
import re
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.harness.apps import TINY, config
from tests.harness.federation import Federation
from tests.harness.program import Program
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


@pytest.mark.row("F2", "F20")
def test_rounds_go_by_lines_and_lose_nothing_when_the_network_breaks(tmp_path: Path) -> None:
    with Federation(tmp_path, tls=False) as federation:
        superlink = federation.start_superlink(OURS, *_LOUD)
        with Tap(federation.fleet) as tap:
            direct, federation.fleet = federation.fleet, tap.address
            federation.start_node(1)
            federation.start_node(2)
            federation.await_nodes(2)
            federation.fleet = direct
            quiet = federation.submit(TINY, *config(num_rounds=ROUNDS, evaluate=False))
            federation.await_end(quiet)
            calls = calls_of(superlink)
            assert calls["ActivateNode"] == 2
            assert calls["PushMessages"] == 0
            assert calls["PullMessages"] == 0

            cut = federation.submit(TINY, *config(num_rounds=ROUNDS, pause=0.5, evaluate=False))
            for number in (1, 2):
                federation.await_log(cut, f"[ROUND {number}/")
                tap.cut()
                time.sleep(0.2)
            ended = federation.await_end(cut)
        assert ended["status"] == "finished:completed"
        received = re.findall(r"Received (\d+) results and (\d+) fail", federation.log_of(cut))
        assert received == [("2", "0")] * ROUNDS
        superlink.stop()
        assert calls_of(superlink)["Open"] >= 4  # two were cut, twice
