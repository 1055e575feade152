"""Our SuperNodes and our command line on upstream's SuperLink."""

from pathlib import Path

from tests.harness.apps import TINY, config, digest_in
from tests.harness.federation import CONNECTION, Federation
from tests.harness.program import eventually
from tests.harness.toolset import Toolset


def test_our_nodes_and_cli_in_upstreams_federation(
    tmp_path: Path, tls: bool, peer: Toolset, upstream_digest: str
) -> None:
    with Federation(tmp_path, tls=tls) as federation:
        federation.start_superlink(peer)
        federation.start_node(1)
        federation.start_node(2, peer)
        federation.await_nodes(2)

        done = federation.flwr("run", str(TINY), CONNECTION, "--stream", timeout=180)

        assert digest_in(done.stdout) == upstream_digest
        (run,) = federation.runs()
        assert run["status"] == "finished:completed"
        assert digest_in(federation.log_of(run["run-id"])) == upstream_digest


def test_our_keyed_node_is_registered_by_our_cli(tmp_path: Path, peer: Toolset) -> None:
    with Federation(tmp_path, tls=True) as federation:
        federation.start_superlink(peer, node_auth=True)
        key = str(federation.certs / "node-1.pub")
        node_id = federation.flwr_json("supernode", "register", key, CONNECTION)["node-id"]
        federation.start_node(1, keyed=True)
        federation.await_nodes(1)

        (node,) = federation.flwr_json("supernode", "list", CONNECTION)["nodes"]
        assert (str(node["node-id"]), node["status"]) == (str(node_id), "online")
        federation.flwr("supernode", "unregister", str(node_id), CONNECTION)


def test_our_cli_stops_and_shows_on_upstreams_superlink(
    tmp_path: Path, tls: bool, peer: Toolset
) -> None:
    with Federation(tmp_path, tls=tls) as federation:
        federation.start_superlink(peer)
        run_id = federation.submit(TINY, *config(fail="server-waits"))
        eventually(
            lambda: federation.run_status(run_id)["status"] == "running", timeout=60, step=0.5
        )

        federation.flwr("stop", run_id, CONNECTION)

        assert federation.run_status(run_id)["status"] == "finished:stopped"
        listed = federation.flwr_json("federation", "list", CONNECTION)
        assert [f["name"] for f in listed["federations"]] == ["@none/default"]
