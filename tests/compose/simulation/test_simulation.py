"""The profile `simulation`: Ray in a confined container, and on a cluster of containers."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest
from python_on_whales import DockerException

from tests.compose.deployment import Deployment
from tests.harness.apps import config, digest_in, quick
from tests.harness.program import eventually
from tests.harness.toolset import ROOT

pytestmark = [pytest.mark.long, pytest.mark.timeout(900)]  # the first test may have to build

PROBE: Final = ROOT / "tests" / "apps" / "probe"
TOO_MUCH: Final = config(
    deed="by-partition", argument="import:json allocate:4000 import:json", nodes=3
)
ONE_CPU: Final = ("--federation-config", "num-supernodes=8 client-resources-num-cpus=1")


@pytest.fixture(scope="module", autouse=True)
def image() -> None:
    """Build the image, unless it is up to date."""
    built = [sys.executable, str(ROOT / "images" / "build.py"), "simulation"]
    subprocess.run(built, check=True)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    root = tmp_path_factory.mktemp("simulation")
    with Deployment(root, nodes=1, profiles=["simulation"]) as deployment:
        deployment.project.up("simulation")
        yield deployment


@pytest.fixture(scope="module")
def tight(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    settings = {"FLWR_SIMULATION_MEMORY": "1500m", "FLWR_APP": str(PROBE)}
    root = tmp_path_factory.mktemp("tight")
    with Deployment(root, nodes=1, profiles=["simulation"], variables=settings) as deployment:
        deployment.project.up("simulation")
        yield deployment


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Deployment]:
    with Deployment(
        tmp_path, nodes=1, profiles=["simulation"], overlays=["ray-cluster.server"]
    ) as deployment:
        project = deployment.project
        # Ray ends when it is not up within 30 s, and the engine starts it anew; `--wait` gives up.
        with suppress(DockerException):
            project.up("simulation", "ray-worker", wait=False)
        project.await_health("ray-head", timeout=200)
        project.up("simulation", "ray-worker", wait=False)
        project.await_health("simulation", timeout=200)
        project.await_health("ray-worker", timeout=200)
        yield deployment


@pytest.mark.row("S71", "S78")
def test_a_run_names_another_federation_and_is_simulated(alone: Deployment) -> None:
    said = config(nodes=8, num_rounds=2)
    output = alone.cli("run", "/app", "simulation", "--stream", *ONE_CPU, *said)
    assert "Simulating 8 nodes on 2 workers of this machine" in output
    assert output.count("aggregate_train: Received 8 results and 0 failures") == 2
    assert digest_in(output)


@pytest.mark.row("S78")
def test_no_node_is_started_and_no_superlink_is_needed(alone: Deployment) -> None:
    assert alone.project.services() == ["simulation"]


@pytest.mark.row("S78")
def test_its_container_is_confined(alone: Deployment) -> None:
    found = alone.project.inspect("simulation")
    host = found["HostConfig"]
    assert host["ReadonlyRootfs"]
    assert host["CapDrop"] == ["ALL"]
    assert host["SecurityOpt"] == ["no-new-privileges:true"]
    assert host["ShmSize"] == 1024**3
    assert found["Config"]["User"] == "10001:10001"
    assert not host["Privileged"]


@pytest.mark.row("S78")
def test_plain_up_starts_it_beside_the_superlink_and_no_node(alone: Deployment) -> None:
    alone.project.up()
    assert alone.project.services() == ["serverapp", "simulation", "superlink"]
    output = alone.cli("run", "/app", "simulation", "--stream", *ONE_CPU, *quick(nodes=8))
    assert "Simulating 8 nodes on 2 workers of this machine" in output


@pytest.mark.row("S74", "S75", "F5")
@pytest.mark.parametrize("backend", ["pool", "ray"])
def test_a_worker_that_takes_the_containers_memory_costs_its_message(
    tight: Deployment, backend: str
) -> None:
    wanted = f'num-supernodes=3 client-resources-num-cpus=1 backend="{backend}"'
    output = tight.cli(
        *("run", "/app", "simulation", "--stream", "--federation-config", wanted, *TOO_MUCH)
    )
    assert output.count("gets its message again: its worker was killed") == 1, output[-3000:]
    (line,) = [line for line in output.splitlines() if "met: " in line]
    met, _ = json.JSONDecoder().raw_decode(line.split("met: ", 1)[1])
    assert sorted(met) == ["0", "2", "error"]
    code, reason = met["error"]
    assert code == 8
    assert "it ran out of memory" in reason
    assert tight.project.inspect("simulation")["RestartCount"] == 0


@pytest.mark.row("S78")
def test_a_cluster_that_loses_a_worker_in_a_round_goes_on(cluster: Deployment) -> None:
    said = config(nodes=8, num_rounds=2, pause=2.0)
    started = json.loads(
        cluster.cli("run", "/app", "simulation", "--format", "json", *ONE_CPU, *said)
    )
    run_id = str(started["run-id"])

    def log() -> str:
        return cluster.cli("log", run_id, "simulation", "--show")

    eventually(lambda: "client log" in log(), timeout=120, step=1, otherwise=log)
    cluster.project.kill("ray-worker")
    cluster.cli("log", run_id, "simulation")  # until the run has ended
    ended = status_of(cluster, run_id)
    shown = log()
    assert ended == "finished:completed", shown[-3000:]
    assert "2 machines of the Ray cluster at ray-head:6379" in shown
    assert shown.count("aggregate_train: Received 8 results and 0 failures") == 2


def status_of(deployment: Deployment, run_id: str) -> str:
    listed = deployment.cli("list", "simulation", "--run-id", run_id, "--format", "json")
    return str(json.loads(listed)["runs"][0]["status"])
