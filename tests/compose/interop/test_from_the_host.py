"""Upstream's SuperNode and command line, and our own, dial the ports that compose publishes."""

import json
from collections.abc import Iterator

import pytest
from certs.identities import new_node_key

from flwr.core.run import RunStatus
from tests.compose.deployment import Deployment
from tests.compose.training import (
    assert_undisturbed,
    online_nodes,
    submit,
    undisturbed_digest,
)
from tests.harness.apps import TINY, config, digest_in
from tests.harness.federation import CONNECTION
from tests.harness.toolset import OURS, Toolset, upstream

pytestmark = pytest.mark.timeout(300)  # upstream's programs take seconds to start
ONE_ROUND = config(num_rounds=1, evaluate=False)


@pytest.fixture(scope="module")
def peer() -> Toolset:
    """Upstream's release of the contract."""
    tools = upstream("1.29.0")
    if not tools.is_installed:
        pytest.skip(f"{tools.name} is not installed: scripts/interop_venvs.py")
    return tools


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory, peer: Toolset) -> Iterator[Deployment]:
    """Node 1 in a container of ours; node 2 is upstream's program on this host, with a key."""
    root = tmp_path_factory.mktemp("interop")
    with Deployment(root, nodes=1, keys=2) as deployment:
        deployment.up()
        deployment.start_node(2, peer, keyed=True)
        deployment.await_nodes(2)
        yield deployment


def test_an_upstream_node_on_the_host_serves_a_run_beside_a_container(
    federation: Deployment,
) -> None:
    assert_undisturbed(federation, submit(federation, num_rounds=1), rounds=1)


@pytest.mark.parametrize("name", ["upstream", "ours"])
def test_a_cli_on_the_host_submits_lists_and_reads_logs(
    federation: Deployment, peer: Toolset, name: str
) -> None:
    tools = peer if name == "upstream" else OURS

    done = federation.flwr("run", str(TINY), CONNECTION, "--stream", *ONE_ROUND, tools=tools)

    assert digest_in(done.stdout) == undisturbed_digest(1)
    listed = federation.flwr("ls", CONNECTION, "--format", "json", tools=tools)
    newest, *_ = json.loads(listed.stdout)["runs"]
    assert newest["status"] == "finished:completed"
    shown = federation.flwr("log", newest["run-id"], CONNECTION, "--show", tools=tools)
    assert digest_in(shown.stdout + shown.stderr) == undisturbed_digest(1)


@pytest.mark.parametrize("name", ["upstream", "ours"])
def test_a_cli_on_the_host_stops_a_run(federation: Deployment, peer: Toolset, name: str) -> None:
    run_id = submit(federation, fail="server-waits")
    federation.await_status(run_id, RunStatus.RUNNING)

    federation.flwr("stop", run_id, CONNECTION, tools=peer if name == "upstream" else OURS)

    assert federation.run_status(run_id)["status"] == "finished:stopped"


def test_an_upstream_node_with_a_strangers_key_is_refused(
    federation: Deployment, peer: Toolset
) -> None:
    key = federation.node_key(3)
    key.parent.mkdir()
    key.write_bytes(new_node_key())
    before = online_nodes(federation)

    stranger = federation.start_node(3, peer, keyed=True)

    assert stranger.wait(120) != 0, stranger.output
    assert online_nodes(federation) == before
