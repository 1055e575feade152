"""``docker compose down`` in the middle of a round, ``up`` again; a site without power."""

import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from tests.compose.deployment import Deployment
from tests.compose.training import assert_undisturbed, await_round, online_nodes, submit
from tests.harness.program import apps_among, eventually


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Two nodes; apps get two seconds to finish when their container is stopped."""
    root = tmp_path_factory.mktemp("lifecycle")
    with Deployment(root, variables={"FLWR_DRAIN": "2"}) as deployment:
        deployment.up()
        yield deployment


def exit_codes(federation: Deployment, since: datetime) -> dict[str, int]:
    """Return how each container of the project ended since an instant, also if it is gone now."""
    label = f"label=com.docker.compose.project={federation.project.project}"
    line = '{{index .Actor.Attributes "com.docker.compose.service"}} {{.Actor.Attributes.exitCode}}'
    instants = ["--since", since.isoformat(), "--until", datetime.now(UTC).isoformat()]
    command = ["docker", "events", *instants, "--filter", label, "--filter", "event=die"]
    told = subprocess.run(
        [*command, "--format", line], check=True, capture_output=True, text=True
    ).stdout
    return {name: int(code) for name, code in (line.split() for line in told.splitlines())}


@pytest.mark.row("F42", "F44")
def test_down_in_mid_round_and_up_again(federation: Deployment) -> None:
    """Apps end with their containers: the run says so, and everything else is as it was."""
    nodes, services = online_nodes(federation), federation.project.services()
    run_id = submit(federation, pause=1.0, num_rounds=100)
    await_round(federation, run_id, 2)
    before = datetime.now(UTC)

    federation.project.down(volumes=False, timeout=30)

    assert exit_codes(federation, before) == dict.fromkeys(services, 0)
    assert federation.project.services() == []
    federation.up()
    run = federation.await_end(run_id)
    assert (run["status"], run["details"]) == (
        "finished:failed",
        "ServerApp was stopped: its runner was told to end",
    )
    assert "[ROUND 2/" in federation.log_of(run_id)
    assert online_nodes(federation) == nodes
    assert_undisturbed(federation, submit(federation, num_rounds=1), rounds=1)


@pytest.mark.row("F3", "F8")
def test_a_site_without_power_rejoins_as_itself_and_sends_what_it_had(
    federation: Deployment,
) -> None:
    """Its last reply was made while the line was dead, and waits in the outbox."""
    nodes = online_nodes(federation)
    run_id = submit(federation, pause=2.0)
    await_round(federation, run_id, 2)
    await_app(federation, "clientapp-1", lives=True)

    with federation.project.disconnected("supernode-1", "fleet"):
        await_app(federation, "clientapp-1", lives=False)
        for name in ("supernode-1", "clientapp-1"):
            federation.project.kill(name)

    eventually(
        lambda: federation.project.container("supernode-1").state.status == "exited", timeout=30
    )
    federation.up()
    assert_undisturbed(federation, run_id)
    assert online_nodes(federation) == nodes


def await_app(federation: Deployment, name: str, *, lives: bool) -> None:
    """Wait until a process with project code lives in the container, or none does any more."""

    def found() -> bool:
        return bool(apps_among(federation.project.pids(name)))

    eventually(lambda: found() == lives, timeout=60, otherwise=lambda: f"lives: {not lives}")
