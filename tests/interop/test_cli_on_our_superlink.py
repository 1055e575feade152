"""Upstream's command line, and ours for comparison, on our SuperLink and our SuperNodes."""

import json
import re
from pathlib import Path

import pytest

from flwr.core.run import RunStatus
from tests.fakes.git_host import commit, make_repository
from tests.harness.apps import TINY, config, copy_with_connection, digest_in, quick
from tests.harness.federation import CONNECTION, Federation
from tests.harness.toolset import Toolset, upstream
from tests.interop.conftest import PATIENT, require

pytestmark = PATIENT
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


def test_the_same_app_gives_the_same_model(
    our_federation: Federation, upstream_digest: str
) -> None:
    """The same app file under both packages: equal final parameters for the same seed."""
    done = our_federation.flwr("run", str(TINY), CONNECTION, "--stream")

    assert digest_in(done.stdout) == upstream_digest


@pytest.mark.parametrize("version", EVERY_CLI)
def test_upstreams_cli_runs_lists_and_reads_logs(
    our_federation: Federation, version: str, upstream_digest: str
) -> None:
    cli = require(upstream(version))
    federation = our_federation
    app = str(TINY) if cli.release >= (1, 26) else where(cli, federation)[0]
    before = {run["run-id"] for run in federation.runs()}

    done = federation.flwr("run", app, CONNECTION, "--stream", tools=cli)
    assert digest_in(done.stdout) == upstream_digest

    (run,) = [run for run in federation.runs() if run["run-id"] not in before]
    listed = federation.flwr("ls", *where(cli, federation), "--format", "json", tools=cli)
    # As text: older CLIs write the id as a number.
    seen = {str(r["run-id"]): r["status"] for r in json.loads(listed.stdout)["runs"]}
    assert seen.keys() == before | {run["run-id"]}
    assert seen[run["run-id"]] == "finished:completed"
    shown = federation.flwr("log", run["run-id"], *where(cli, federation), "--show", tools=cli)
    assert digest_in(shown.stdout + shown.stderr) == upstream_digest


def test_upstreams_cli_stops_a_run(our_federation: Federation, peer: Toolset) -> None:
    run_id = our_federation.submit(TINY, *config(fail="server-waits"))
    our_federation.await_status(run_id, RunStatus.RUNNING)

    our_federation.flwr("stop", run_id, CONNECTION, tools=peer)

    assert our_federation.run_status(run_id)["status"] == "finished:stopped"
    again = our_federation.flwr("stop", run_id, CONNECTION, tools=peer, check=False)
    assert again.returncode != 0


def test_upstreams_cli_keeps_the_node_registry(our_federation: Federation, peer: Toolset) -> None:
    federation = our_federation
    key = str(federation.node_key(1).with_suffix(".pub"))

    def statuses() -> dict[str, str]:
        nodes = federation.flwr_json("supernode", "list", CONNECTION, tools=peer)["nodes"]
        return {node["node-id"]: node["status"] for node in nodes}

    online = statuses()
    assert list(online.values()) == ["online", "online"]

    added = federation.flwr("supernode", "register", key, CONNECTION, tools=peer)
    found = re.search(r"\d{6,}", added.stdout + added.stderr)
    assert found, added.stdout
    node_id = found[0]
    twice = federation.flwr("supernode", "register", key, CONNECTION, tools=peer, check=False)
    assert twice.returncode != 0
    assert "already in use" in twice.stdout + twice.stderr

    assert statuses() == {**online, node_id: "registered"}
    federation.flwr("supernode", "unregister", node_id, CONNECTION, tools=peer)
    assert statuses() == {**online, node_id: "unregistered"}


def test_upstreams_cli_shows_the_federation(our_federation: Federation, peer: Toolset) -> None:
    listed = our_federation.flwr_json("federation", "list", CONNECTION, tools=peer)
    assert [f["name"] for f in listed["federations"]] == ["@none/default"]
    shown = our_federation.flwr_json(
        "federation", "list", CONNECTION, "--federation", "@none/default", tools=peer
    )
    statuses = [node["status"] for node in shown["federation"]["nodes"]]
    assert statuses.count("online") == 2


@pytest.mark.long
@pytest.mark.row("S45")
@pytest.mark.parametrize("version", EVERY_CLI)
def test_upstreams_cli_skips_the_commit_of_a_run(
    our_federation: Federation, version: str, tmp_path: Path
) -> None:
    cli, federation = require(upstream(version)), our_federation
    repository = make_repository(tmp_path / "repo")
    commit(repository, {f.name: f.read_text() for f in TINY.glob("*.toml")})
    commit(repository, {f"tiny/{f.name}": f.read_text() for f in (TINY / "tiny").glob("*.py")})
    reference = f"git+file://{repository}"
    run_id = federation.flwr_json("run", reference, CONNECTION, *quick())["run-id"]

    listed = federation.flwr("ls", *where(cli, federation), "--format", "json", tools=cli).stdout

    assert str(run_id) in {str(run["run-id"]) for run in json.loads(listed)["runs"]}
    assert federation.await_end(run_id)["status"] == "finished:completed"
