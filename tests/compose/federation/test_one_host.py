"""compose.yaml on one host."""

import json
import subprocess

import pytest

from tests.compose.deployment import Deployment
from tests.compose.reach import OPEN, reach
from tests.harness.apps import TINY, config, digest_in
from tests.harness.federation import CONNECTION


@pytest.mark.row("S1", "S53")
def test_nodes_are_online_within_half_a_minute(deployment: Deployment) -> None:
    assert deployment.seconds_to_online is not None
    assert deployment.seconds_to_online < 30
    nodes = deployment.flwr_json("supernode", "list", CONNECTION)["nodes"]
    assert [node["status"] for node in nodes] == ["online"] * 3


@pytest.mark.row("S52")
def test_every_service_is_healthy_and_its_endpoints_are_listed_and_answer(
    deployment: Deployment,
) -> None:
    show = ["docker", "compose", "-p", deployment.project.project, "ps", "--format", "json"]
    lines = subprocess.run(show, check=True, capture_output=True, text=True).stdout.splitlines()
    shown = {service["Service"]: service for service in map(json.loads, lines)}
    shown.pop("cli", None)
    assert {service["Health"] for service in shown.values()} == {"healthy"}
    published = {
        end["TargetPort"]: end["PublishedPort"]
        for end in shown["superlink"]["Publishers"]
        if end["PublishedPort"]
    }
    assert {t: reach("127.0.0.1", p) for t, p in published.items()} == {9092: OPEN, 9093: OPEN}

    entries = deployment.project.log_entries("superlink")
    listening = {e["address"] for e in entries if e.get("event") == "listening"}
    assert listening == {"0.0.0.0:9092", "control:9093", "serverappio:9091"}
    assert deployment.project.reach("serverapp", "serverappio", 9091) == OPEN


@pytest.mark.row("S43", "S53")
def test_a_run_uses_every_node_with_its_own_partition(deployment: Deployment) -> None:
    run = deployment.await_end(deployment.submit(TINY, *config(nodes=3, num_rounds=1)))

    assert run["status"] == "finished:completed"
    log = deployment.log_of(run["run-id"])
    assert "partitions: [0, 1, 2]" in log
    assert "Received 3 results and 0 failures" in log
    digest_in(log)


@pytest.mark.row("S10", "S16")
def test_a_researcher_needs_nothing_but_the_container_of_the_command_line(
    deployment: Deployment,
) -> None:
    submitted = deployment.cli(
        "run", "/app", "--format", "json", "--run-config", "nodes=3 num-rounds=1 evaluate=false"
    )
    run = deployment.await_end(json.loads(submitted)["run-id"])

    assert run["status"] == "finished:completed"
    listed = json.loads(deployment.cli("ls", "--format", "json"))
    assert run["run-id"] in {r["run-id"] for r in listed["runs"]}
