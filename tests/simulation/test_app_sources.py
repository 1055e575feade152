"""What ``flwr-simulation`` runs: folder, bundle, git repository, two files; and its result."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.git_host import commit, make_repository
from tests.harness.apps import INLINE, TINY, digest_in
from tests.harness.federation import CONNECTION, Federation
from tests.harness.toolset import OURS, ROOT
from tests.simulation.commands import config, run

BRIEF = config({"nodes": 2, "num-rounds": 1, "evaluate": False})
ON_POOL = ("--backend", "pool", "--workers", "1")


def simulate(root: Path, *args: str) -> tuple[str, dict[str, Any]]:
    """Run the command as a person would: the document goes to a file, all else to the terminal."""
    result = root / "result.json"
    argv = [sys.executable, "-P", "-m", "flwr.simulation.main", "--format", "json", *args]
    with result.open("wb") as file:
        done = subprocess.run(
            argv, stdout=file, stderr=subprocess.PIPE, text=True, timeout=150, check=False, cwd=root
        )
    document = json.loads(result.read_text())
    assert document["success"] == (done.returncode == 0)
    return done.stderr, document


@pytest.mark.row("S73")
def test_one_command_without_a_superlink_leaves_a_result_file(tmp_path: Path) -> None:
    nodes = ("--num-supernodes", "2")
    shown, document = simulate(tmp_path, "--app", str(TINY), *nodes, *ON_POOL, *BRIEF)
    assert digest_in(shown)
    assert "client log: partition 1 round 1" in shown
    assert (document["status"], document["num-supernodes"]) == ("completed", 2)
    assert document["messages"] == {"answered": 4, "failed": 0}


@pytest.mark.skipif(not shutil.which("git"), reason="no git program")
@pytest.mark.row("S45")
def test_an_app_of_a_git_repository_is_simulated(tmp_path: Path) -> None:
    repository = make_repository(tmp_path / "repository")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(TINY, repository / "apps" / "tiny", ignore=ignored)
    commit(repository, {"README.md": "one"}, tag="v1")
    reference = f"git+file://{repository}@v1#subdirectory=apps/tiny"
    nodes = ("--num-supernodes", "2")
    shown, document = simulate(tmp_path, "--app", reference, *nodes, *ON_POOL, *BRIEF)
    direct, _ = run(tmp_path / "direct", TINY, 2, *ON_POOL, *BRIEF)
    assert document["success"], shown
    assert digest_in(shown) == digest_in(direct)


@pytest.mark.row("S46")
def test_an_app_of_two_files_is_simulated(tmp_path: Path) -> None:
    said = config({"question": "total", "factor": 2})
    shown, document = simulate(tmp_path, *INLINE, "--num-supernodes", "4", *ON_POOL, *said)
    assert document["success"], shown
    assert "total: 20 from 4" in shown


@pytest.mark.row("S79")
def test_simulated_nodes_have_partitions_and_sites_their_own_data(tmp_path: Path) -> None:
    app = (*INLINE[:2], "--client-app", f"{ROOT / 'tests' / 'apps' / 'sited' / 'sited.py'}:app")
    said = config({"question": "total"})
    shown, document = simulate(tmp_path, *app, "--num-supernodes", "5", *ON_POOL, *said)
    assert "total: 55 from 5" in shown  # 1 to 10, dealt out

    with Federation(tmp_path / "deployed", tls=False) as federation:
        federation.start_superlink()
        for number, records in enumerate(("100 200", "5"), start=1):
            data = tmp_path / f"site-{number}.txt"
            data.write_text(records)
            federation.start_node(number, OURS, "--node-config", f'data="{data}"')
        federation.await_nodes(2)
        started = federation.flwr_json("run", CONNECTION, *app, *said)
        deployed = federation.await_end(started["run-id"])
        assert "total: 305 from 2" in federation.log_of(started["run-id"])
    assert document["fab-hash"].startswith(deployed["fab-hash"])  # nobody changed the code


@pytest.mark.parametrize(
    ("args", "cause", "remedy"),
    [
        (("--app", "no-such.fab"), "cannot be read", "git+https://HOST/OWNER/REPO"),
        (("--app", "https://example.org/a/b"), "begins with git+", "git+https://"),
        (("--app", "git+file:///no/such/repository"), "/no/such/repository", ""),
        (("--server-app", "hub.py:app"), "both --server-app and --client-app", "client.py:app"),
        (
            ("--server-app", "no.py:app", "--client-app", "node.py:app"),
            "no.py",
            "--server-app",
        ),
    ],
)
def test_an_app_that_cannot_be_had_is_told_with_the_remedy(
    tmp_path: Path, args: tuple[str, ...], cause: str, remedy: str
) -> None:
    shown, document = simulate(tmp_path, *args, "--num-supernodes", "2")
    assert cause in document["error-message"]
    assert document["hint"]
    assert remedy in document["hint"]
    assert "Traceback" not in shown
