"""Upstream's command line on our SuperLink."""

import json
import re
from pathlib import Path

import pytest

from tests.harness.apps import TINY, config, copy_with_connection, digest_in
from tests.harness.federation import CONNECTION, Federation
from tests.harness.program import eventually
from tests.harness.toolset import Toolset, upstream
from tests.interop.conftest import require

EVERY_CLI = [
    pytest.param("1.29.0", id="cli-1.29.0"),
    *(
        pytest.param(version, marks=pytest.mark.matrix, id=f"cli-{version}")
        for version in ("1.21.0", "1.28.0", "1.36.0")
    ),
]


def where(tools: Toolset, federation: Federation) -> list[str]:
    """Return how a release's commands name the SuperLink."""
    if tools.release >= (1, 26):
        return [CONNECTION]
    return [str(copy_with_connection(TINY, federation)), CONNECTION]


@pytest.mark.parametrize("version", EVERY_CLI)
def test_upstreams_cli_runs_lists_and_reads_logs(
    tmp_path: Path, tls: bool, version: str, upstream_digest: str
) -> None:
    cli = require(upstream(version))
    with Federation(tmp_path, tls=tls) as federation:
        federation.start_superlink()
        federation.start_node(1)
        federation.start_node(2)
        app = str(TINY) if cli.release >= (1, 26) else where(cli, federation)[0]

        done = federation.flwr("run", app, CONNECTION, "--stream", tools=cli)
        assert digest_in(done.stdout) == upstream_digest

        (run,) = federation.runs()
        listed = federation.flwr("ls", *where(cli, federation), "--format", "json", tools=cli)
        seen = json.loads(listed.stdout)["runs"]
        assert [(r["run-id"], r["status"]) for r in seen] == [
            (run["run-id"], "finished:completed"),
        ]
        shown = federation.flwr("log", run["run-id"], *where(cli, federation), "--show", tools=cli)
        assert digest_in(shown.stdout + shown.stderr) == upstream_digest


def test_upstreams_cli_stops_a_run(tmp_path: Path, tls: bool, peer: Toolset) -> None:
    with Federation(tmp_path, tls=tls) as federation:
        federation.start_superlink()
        run_id = federation.submit(TINY, *config(fail="server-waits"))
        eventually(
            lambda: federation.run_status(run_id)["status"] == "running", timeout=30, step=0.2
        )

        federation.flwr("stop", run_id, CONNECTION, tools=peer)

        assert federation.run_status(run_id)["status"] == "finished:stopped"
        again = federation.flwr("stop", run_id, CONNECTION, tools=peer, check=False)
        assert again.returncode != 0


def test_upstreams_cli_keeps_the_node_registry(tmp_path: Path, tls: bool, peer: Toolset) -> None:
    with Federation(tmp_path, tls=tls) as federation:
        federation.start_superlink()
        key = str(federation.certs / "node-1.pub")

        added = federation.flwr("supernode", "register", key, CONNECTION, tools=peer)
        node_id = re.search(r"\d{6,}", added.stdout + added.stderr)
        assert node_id, added.stdout
        twice = federation.flwr("supernode", "register", key, CONNECTION, tools=peer, check=False)
        assert twice.returncode != 0
        assert "already in use" in twice.stdout + twice.stderr

        nodes = federation.flwr_json("supernode", "list", CONNECTION, tools=peer)["nodes"]
        assert [(n["node-id"], n["status"]) for n in nodes] == [(node_id[0], "registered")]
        federation.flwr("supernode", "unregister", node_id[0], CONNECTION, tools=peer)
        (gone,) = federation.flwr_json("supernode", "list", CONNECTION, tools=peer)["nodes"]
        assert gone["status"] == "unregistered"


def test_upstreams_cli_shows_the_federation(tmp_path: Path, tls: bool, peer: Toolset) -> None:
    with Federation(tmp_path, tls=tls) as federation:
        federation.start_superlink()
        federation.start_node(1)
        federation.await_nodes(1)

        listed = federation.flwr_json("federation", "list", CONNECTION, tools=peer)
        assert [f["name"] for f in listed["federations"]] == ["@none/default"]
        shown = federation.flwr_json(
            "federation", "list", CONNECTION, "--federation", "@none/default", tools=peer
        )
        assert [n["status"] for n in shown["federation"]["nodes"]] == ["online"]
