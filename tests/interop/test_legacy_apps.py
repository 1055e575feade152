"""Apps of the legacy API, unchanged, under upstream's release and under ours: equal in every byte.

What upstream makes of an app is found by running it in one process, without network: see
``tests/apps/legacy/in_process.py``.
"""

import json
import re
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests.harness.apps import config
from tests.harness.federation import Federation
from tests.harness.toolset import OURS, ROOT, Toolset
from tests.interop.conftest import PATIENT
from tests.simulation.commands import run as simulate

APPS: Final = ROOT / "tests" / "apps" / "legacy"
NAMES: Final = ("numpy_fedavg", "own_strategy", "properties_client", "default_workflow")
PRINTED: Final = re.compile(r"^(model|fit|evaluate|known|losses|round)\b.*$", re.MULTILINE)
_COLOUR: Final = re.compile(r"\033\[\d+m")
_SECONDS: Final = re.compile(r"(, )[\d.e-]+(\)$)|( in )[\d.]+s$")
_DIFFERENT_WORDS: Final = ("returning parameters", "clients returned parameters")

pytestmark = PATIENT


def in_process(tools: Toolset, script: str, *args: str) -> list[str]:
    """Run one of the scripts beside the apps with a release; return its lines, times left out."""
    python = tools.bin / "python"
    done = subprocess.run(
        [str(python), "-W", "ignore", str(APPS / script), *args],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    lines = (_SECONDS.sub(r"\1TIME\2\3", line) for line in plain(done.stdout).splitlines())
    return [line for line in lines if not any(text in line for text in _DIFFERENT_WORDS)]


def plain(text: str) -> str:
    """Return ``text`` without colours; the history's first line is indented everywhere."""
    return _COLOUR.sub("", text).replace("INFO :      History", "INFO :      \tHistory")


def results_in(text: str) -> list[str]:
    """Return what an app printed about its results, and the history that was logged."""
    printed = [match.group(0) for match in PRINTED.finditer(plain(text))]
    _, _, summary = plain(text).partition("[SUMMARY]")
    history = [line for line in summary.splitlines() if line.startswith("INFO :      \t")]
    return printed + history


@pytest.fixture(scope="session")
def expected(peer: Toolset) -> dict[str, list[str]]:
    """Results of every app for two nodes, by upstream."""
    return {
        name: results_in("\n".join(in_process(peer, "in_process.py", str(APPS / name), "2")))
        for name in NAMES
    }


@pytest.mark.parametrize("nodes", [2, pytest.param(5, marks=pytest.mark.long)])
@pytest.mark.parametrize("name", NAMES)
def test_messages_logs_and_results_are_upstreams(peer: Toolset, name: str, nodes: int) -> None:
    args = (str(APPS / name), str(nodes), "num-rounds=3")

    theirs, ours = (in_process(tools, "in_process.py", *args) for tools in (peer, OURS))

    assert sum(line.startswith("wire") for line in ours) > 6 * nodes
    assert ours == theirs


def test_strategies_give_upstreams_numbers(peer: Toolset) -> None:
    theirs, ours = (
        json.loads("".join(in_process(tools, "strategies.py"))) for tools in (peer, OURS)
    )

    assert ours.keys() == theirs.keys()
    assert len(ours) > 20
    assert [name for name in ours if ours[name] != theirs[name]] == []


@pytest.mark.parametrize(
    "name", [NAMES[0], *(pytest.param(name, marks=pytest.mark.long) for name in NAMES[1:])]
)
def test_our_simulation_gives_upstreams_results(
    tmp_path: Path, name: str, expected: dict[str, list[str]]
) -> None:
    output, document = simulate(tmp_path, APPS / name, 2, "--workers", "1")

    assert document["status"] == "completed", output[-3000:]
    assert results_in(output) == expected[name]


@pytest.mark.long  # a federation of processes for each app: long
@pytest.mark.parametrize("tls", [True], indirect=True, ids=["tls"])
@pytest.mark.parametrize("name", NAMES)
def test_our_deployment_gives_upstreams_results(
    our_federation: Federation, name: str, expected: dict[str, list[str]]
) -> None:
    run = our_federation.await_end(our_federation.submit(APPS / name))

    assert run["status"] == "finished:completed", our_federation.log_of(run["run-id"])
    assert results_in(our_federation.log_of(run["run-id"])) == expected[name]


@pytest.mark.long  # a federation of processes for each app: long
@pytest.mark.parametrize("tls", [False], indirect=True, ids=["insecure"])
@pytest.mark.parametrize("name", ["numpy_fedavg", "default_workflow"])
def test_our_client_works_under_upstreams_server(
    upstreams_federation: Federation, peer: Toolset, name: str
) -> None:
    once = config(num_rounds=1)
    theirs = in_process(peer, "in_process.py", str(APPS / name), "2", "num-rounds=1")

    run = upstreams_federation.await_end(upstreams_federation.submit(APPS / name, *once))

    log = upstreams_federation.log_of(run["run-id"])
    assert run["status"] == "finished:completed", log
    assert results_in(log) == results_in("\n".join(theirs))


@pytest.mark.long  # a federation of processes for each app: long
def test_upstreams_client_works_under_our_server(tmp_path: Path, peer: Toolset) -> None:
    name = "numpy_fedavg"
    theirs = in_process(peer, "in_process.py", str(APPS / name), "2", "num-rounds=1")
    with Federation(tmp_path, tls=False) as federation:
        federation.start_superlink()
        federation.start_node(1)
        federation.start_node(2, peer)
        federation.await_nodes(2)

        run = federation.await_end(federation.submit(APPS / name, *config(num_rounds=1)))

        log = federation.log_of(run["run-id"])
    assert run["status"] == "finished:completed", log
    assert results_in(log) == results_in("\n".join(theirs))
