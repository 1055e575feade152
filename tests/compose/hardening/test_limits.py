"""Limits are the kernel's, and hitting one is the app's misfortune alone."""

from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.compose.apps import PROBE, met_by
from tests.compose.deployment import Deployment
from tests.compose.hardening.conftest import TMP, Confined, Watched
from tests.harness.apps import TINY, config

BURN: Final = """
import os, time
begun, used = time.monotonic(), time.process_time
workers = [os.fork() for _ in range(2)]
if all(workers):
    ends = [os.wait4(pid, 0)[2] for pid in workers]
    print(sum(e.ru_utime + e.ru_stime for e in ends) / (time.monotonic() - begun))
else:
    while time.monotonic() - begun < 1.5:
        pass
    os._exit(0)
"""


@pytest.mark.row("S54")
def test_every_container_is_limited_as_its_settings_say(
    containers: dict[str, Confined], deployment: Deployment
) -> None:
    services = deployment.project.config()["services"]
    for name in deployment.project.services():
        if name == "cli":
            continue
        wanted: dict[str, Any] = services[name]
        granted = containers[name].facts["limits"]
        assert granted["memory"] == int(wanted["mem_limit"]), name
        assert granted["pids"] == int(wanted["pids_limit"]), name
        assert granted["cpus"] == float(wanted["cpus"]), name


@pytest.mark.row("S54")
def test_what_an_operator_sets_is_what_counts(containers: dict[str, Confined]) -> None:
    assert containers["clientapp-1"].facts["limits"]["memory"] == 384 << 20
    assert containers["clientapp-1"].facts["limits"]["pids"] == 200
    assert containers["cli"].facts["limits"]["memory"] == 256 << 20


@pytest.mark.row("S54", "F41")
def test_two_busy_processes_get_the_share_of_one_node(deployment: Deployment) -> None:
    used = float(deployment.project.python("supernode-3", BURN))
    assert used < 0.75  # the limit is 0.5; a period of the scheduler may run over at either end


@pytest.fixture(scope="module")
def strained(deployment: Deployment) -> Iterator[dict[str, Any]]:
    """What a run meets that takes all memory on one node and all threads on another."""
    project = deployment.project
    names = [name for name in project.services() if name != "cli"]
    before = {name: project.inspect(name)["State"]["StartedAt"] for name in names}
    deeds = "thread: allocate:1200 look:/data"
    run = deployment.submit(PROBE, *config(deed="by-partition", argument=deeds, nodes=3))
    assert deployment.await_end(run)["status"] == "finished:completed"
    yield met_by(deployment, run)
    for name in names:
        assert project.inspect(name)["State"]["StartedAt"] == before[name], f"{name} restarted"


@pytest.mark.row("S54", "F5")
def test_an_app_that_takes_too_much_memory_is_killed_and_its_end_explained(
    strained: dict[str, Any],
) -> None:
    code, reason = strained["error"]
    assert code == 8
    assert "SIGKILL" in reason
    assert "memory" in reason, "the likely cause should be named"


@pytest.mark.row("S54")
def test_an_app_that_starts_threads_without_end_meets_the_limit_of_its_container(
    strained: dict[str, Any],
) -> None:
    assert 20 < strained["0"] < 200


@pytest.mark.row("S54")
def test_apps_that_hit_a_limit_leave_their_nodes_and_neighbours_alone(
    strained: dict[str, Any], deployment: Deployment
) -> None:
    assert sorted(strained) == ["0", "2", "error"], "the third node just answered"
    for name in deployment.project.services():
        if name != "cli":
            deployment.project.await_health(name)
    run = deployment.submit(TINY, *config(nodes=3, num_rounds=1, evaluate=False))
    assert deployment.await_end(run)["status"] == "finished:completed"


@pytest.mark.row("S54")
def test_site_data_can_be_read_and_not_changed(watched: Watched) -> None:
    for partition in ("0", "1", "2"):
        met = watched.met[partition]["written"]
        assert met["/mnt/data"] == met["/data"] == "Read-only file system"
        assert met[TMP] == "written"
