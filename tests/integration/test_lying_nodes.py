"""A node that sends what it says is an array, and is none, costs its own reply."""

from collections.abc import Iterator
from typing import Final

import pytest

from tests.harness.apps import config
from tests.harness.federation import CONNECTION, Federation
from tests.harness.toolset import ROOT

NODES: Final = 3
LYING: Final = ROOT / "tests" / "apps" / "lying"


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    with Federation(tmp_path_factory.mktemp("three"), tls=False, nodes=NODES) as federation:
        federation.start_superlink()
        for number in range(1, NODES + 1):
            federation.start_node(number, of=NODES)
        federation.await_nodes(NODES)
        yield federation


@pytest.mark.row("F34")
@pytest.mark.parametrize("strategy", ["FedAvg", "FedMedian"])
def test_a_lying_node_of_three_costs_its_reply_and_no_more(
    three: Federation, strategy: str
) -> None:
    files = ["--server-app", f"{LYING / 'hub.py'}:app", "--client-app", f"{LYING / 'node.py'}:app"]
    answer = three.flwr_json("run", CONNECTION, *files, *config(strategy=strategy))
    run = three.await_end(answer["run-id"])

    log = three.log_of(run["run-id"])
    assert run["status"] == "finished:completed"
    assert log.count("aggregate_train: Received 2 results and 1 failures") == 2
    assert log.count("array '0' of 'arrays' is damaged: its data are no array: the elements") == 2
    assert "model: [1.0, 1.0, 1.0, 1.0]" in log
