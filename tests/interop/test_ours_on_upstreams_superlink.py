"""Our SuperNodes and our command line on upstream's SuperLink."""

import shutil
from pathlib import Path
from typing import Final

import pytest

from flwr.core.run import RunStatus
from tests.fakes.git_host import commit, make_repository
from tests.harness.apps import INLINE, TINY, config, digest_in, quick
from tests.harness.federation import CONNECTION, Federation
from tests.harness.toolset import Toolset
from tests.interop.conftest import PATIENT

pytestmark = PATIENT
CACHES: Final = shutil.ignore_patterns("__pycache__")


def test_our_nodes_and_cli_in_upstreams_federation(
    upstreams_federation: Federation, tls: bool, upstream_digest: str
) -> None:
    federation = upstreams_federation
    before = {run["run-id"] for run in federation.runs()}

    options = ["--stream", *config(evaluate=not tls)]
    done = federation.flwr("run", str(TINY), CONNECTION, *options, timeout=180)

    assert digest_in(done.stdout) == upstream_digest
    (run,) = [run for run in federation.runs() if run["run-id"] not in before]
    assert run["status"] == "finished:completed"
    assert digest_in(federation.log_of(run["run-id"])) == upstream_digest


def test_our_cli_stops_and_shows_on_upstreams_superlink(upstreams_federation: Federation) -> None:
    federation = upstreams_federation
    run_id = federation.submit(TINY, *config(fail="server-waits"))
    federation.await_status(run_id, RunStatus.RUNNING)

    federation.flwr("stop", run_id, CONNECTION)

    assert federation.run_status(run_id)["status"] == "finished:stopped"
    listed = federation.flwr_json("federation", "list", CONNECTION)
    assert [f["name"] for f in listed["federations"]] == ["@none/default"]
    for words, why in (
        (("pull", run_id), "does not support pulling artifacts"),
        (("federation", "create", "x"), "does not support federation management"),
    ):
        refused = federation.flwr(*words, CONNECTION, check=False)
        assert refused.returncode == 6
        assert why in refused.stderr


@pytest.mark.long
@pytest.mark.row("S45", "S46")
def test_apps_from_git_and_of_two_files_run_on_upstreams_superlink(
    upstreams_federation: Federation, tmp_path: Path
) -> None:
    repository = make_repository(tmp_path / "repo")
    shutil.copytree(TINY, repository, ignore=CACHES, dirs_exist_ok=True)
    commit(repository, {}, tag="v1")
    federation = upstreams_federation
    from_git = federation.flwr_json(
        "run", f"git+file://{repository}@v1", CONNECTION, *quick(marker="from git")
    )["run-id"]
    inline = federation.flwr_json("run", CONNECTION, *INLINE, *config(question="total", factor=10))[
        "run-id"
    ]

    for run_id, said in ((from_git, "marker: from git"), (inline, "total: 30 from 2")):
        assert federation.await_end(run_id)["status"] == "finished:completed"
        assert said in federation.log_of(run_id)


def test_our_keyed_node_is_registered_by_our_cli(tmp_path: Path, peer: Toolset) -> None:
    with Federation(tmp_path, tls=True) as federation:
        federation.start_superlink(peer, node_auth=True)
        key = str(federation.node_key(1).with_suffix(".pub"))
        node_id = federation.flwr_json("supernode", "register", key, CONNECTION)["node-id"]
        federation.start_node(1, keyed=True)
        federation.await_nodes(1)

        (node,) = federation.flwr_json("supernode", "list", CONNECTION)["nodes"]
        assert (str(node["node-id"]), node["status"]) == (str(node_id), "online")
        federation.flwr("supernode", "unregister", str(node_id), CONNECTION)
