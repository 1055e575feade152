"""SIGKILL from the host: the restart policy and the runtime recover."""

import time

import pytest

from tests.compose.deployment import Deployment
from tests.compose.training import (
    assert_undisturbed,
    await_round,
    online_nodes,
    replies_of,
    submit,
)
from tests.harness.program import apps_among, eventually


def restarts(federation: Deployment, name: str) -> int:
    return int(federation.project.container(name).restart_count)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("superlink", marks=pytest.mark.row("F6")),
        pytest.param("supernode-1", marks=pytest.mark.row("F2", "F3", "F4")),
    ],
)
def test_a_run_survives_the_crash_of_a_daemon(federation: Deployment, name: str) -> None:
    nodes, before = online_nodes(federation), restarts(federation, name)
    run_id = submit(federation)
    await_round(federation, run_id, 2)

    federation.project.crash(name)
    eventually(lambda: restarts(federation, name) == before + 1, timeout=60)
    federation.project.await_health(name)

    assert_undisturbed(federation, run_id)
    federation.await_nodes(2)
    assert online_nodes(federation) == nodes, "everybody must come back as themselves"


@pytest.mark.row("F1", "F7")
def test_the_crash_of_the_serverapps_container_ends_the_run_with_its_cause(
    federation: Deployment,
) -> None:
    run_id = submit(federation, num_rounds=100)
    await_round(federation, run_id, 2)

    federation.project.crash("serverapp")

    run = federation.await_end(run_id)
    assert run["status"] == "finished:failed", run
    assert "heartbeat" in run["details"]
    federation.project.await_health("serverapp")
    assert_undisturbed(federation, submit(federation, num_rounds=1), rounds=1)


@pytest.mark.row("F5", "F7", "F9")
def test_lost_executors_of_clientapps_are_error_replies_and_the_run_goes_on(
    federation: Deployment,
) -> None:
    """One container is killed, one frozen for longer than its lease: its late reply is void."""
    run_id = submit(federation, num_rounds=2, pause=12.0, pause_round=1)
    await_round(federation, run_id, 1)
    for node in (1, 2):
        await_training(federation, run_id, node)
    time.sleep(1)  # until they have read their messages; they then work for seconds

    with federation.project.paused("clientapp-2"):
        federation.project.crash("clientapp-1")
        await_round(federation, run_id, 2)

    run = federation.await_end(run_id)
    log = federation.log_of(run_id)
    assert run["status"] == "finished:completed", run
    assert replies_of(federation, run_id) == [(0, 2), (2, 0)], log
    assert log.count("no heartbeat") == 2, log


def await_training(federation: Deployment, run_id: str, node: int) -> None:
    """Wait until the node's app has the message of the first round: it had a query before."""
    project = federation.project

    def has_begun() -> bool:
        granted = [
            entry
            for entry in project.log_entries(f"supernode-{node}")
            if entry.get("event") == "lease-granted" and str(entry["run_id"]) == run_id
        ]
        return len(granted) == 2 and bool(apps_among(project.pids(f"clientapp-{node}")))

    eventually(has_begun, timeout=60, otherwise=lambda: f"no app on node {node}")
