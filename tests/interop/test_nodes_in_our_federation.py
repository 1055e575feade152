"""Upstream's SuperNodes in our federation, beside ours."""

from pathlib import Path

import pytest

from tests.harness.apps import TINY, config, digest_in
from tests.harness.federation import Federation
from tests.harness.toolset import OURS, Toolset, upstream
from tests.interop.conftest import PATIENT, require

pytestmark = PATIENT
EVERY_NODE = [
    pytest.param("1.29.0", id="supernode-1.29.0"),
    *(
        pytest.param(version, marks=pytest.mark.matrix, id=f"supernode-{version}")
        for version in ("1.23.0", "1.26.1", "1.33.0", "1.39.0")
    ),
]


@pytest.mark.parametrize("version", EVERY_NODE)
def test_an_upstream_node_works_beside_ours(
    tmp_path: Path, tls: bool, version: str, upstream_digest: str
) -> None:
    tools = require(upstream(version))
    with Federation(tmp_path, tls=tls) as federation:
        federation.start_superlink()
        federation.start_node(1)
        federation.start_node(2, tools)
        federation.await_nodes(2)

        run = federation.await_end(federation.submit(TINY, *config(evaluate=not tls)))

        assert run["status"] == "finished:completed", federation.log_of(run["run-id"])
        assert digest_in(federation.log_of(run["run-id"])) == upstream_digest


@pytest.mark.parametrize("version", EVERY_NODE)
def test_an_upstream_node_proves_its_key(
    tmp_path: Path, version: str, upstream_digest: str
) -> None:
    tools = require(upstream(version))
    with Federation(tmp_path, tls=True) as federation:
        federation.start_superlink(node_auth=True)
        federation.start_node(1, tools, keyed=True)
        federation.start_node(2, keyed=True)
        federation.await_nodes(2)

        run = federation.await_end(federation.submit(TINY, *config(evaluate=False)))

        assert digest_in(federation.log_of(run["run-id"])) == upstream_digest


def test_an_upstream_node_with_an_unknown_key_is_refused(tmp_path: Path, peer: Toolset) -> None:
    with Federation(tmp_path, tls=True, nodes=3) as federation:
        listed = federation.certs / "superlink" / "node-keys.pub"
        listed.write_text(
            "".join(listed.read_text().splitlines(keepends=True)[:3])
        )  # a comment first
        superlink = federation.start_superlink(node_auth=True)
        federation.start_node(1, keyed=True)
        stranger = federation.start_node(3, peer, keyed=True)
        federation.await_nodes(1)

        stranger.wait(90)

        statuses = [n["status"] for n in federation.flwr_json("supernode", "list", "test")["nodes"]]
        assert sorted(statuses) == ["online", "registered"]
        assert "SHA256:" in superlink.output


def test_a_key_moves_between_our_node_and_upstreams(tmp_path: Path, peer: Toolset) -> None:
    """What we remember against replays of our node's calls must not shut out a plain signature."""
    with Federation(tmp_path, tls=True) as federation:
        superlink = federation.start_superlink(node_auth=True)
        for tools in (OURS, peer, OURS):
            node = federation.start_node(1, tools, keyed=True)
            federation.await_nodes(1)
            once = config(nodes=1, num_rounds=1, evaluate=False)

            run = federation.await_end(federation.submit(TINY, *once))

            assert run["status"] == "finished:completed", federation.log_of(run["run-id"])
            if tools is OURS:
                assert node.stop() == 0
            else:
                node.kill()  # no farewell: the next one takes over from a node that is online
        assert "UNAUTHENTICATED" not in superlink.output
