"""The demo, as a person runs it, under a name and ports of its own."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from python_on_whales import DockerClient

from tests.compose.project import new_name
from tests.harness.ports import free_port
from tests.harness.toolset import ROOT

ACCURACY: Final = re.compile(r"Accuracy on digits no node has seen: ([\d.]+)")
INTERRUPTED: Final = 130
MISSING: Final = 3

pytestmark = [pytest.mark.long, pytest.mark.timeout(600), pytest.mark.row("S1", "S43")]


class Terminal:
    """Where a person types `make demo`, `make up` and `make down`."""

    def __init__(self, folder: Path) -> None:
        self.name = f"{new_name()}-demo"
        self.settings = folder / "demo.env"
        fleet, control = free_port(), free_port()
        self.variables = {
            "FLWR_FEDERATION": self.name,
            "FLWR_FLEET_PORT": str(fleet),
            "FLWR_CONTROL_PORT": str(control),
        }

    def start(self, script: str, *args: str) -> subprocess.Popen[str]:
        """Start a script with nothing but the standard library (-S)."""
        return subprocess.Popen(
            [sys.executable, "-S", ROOT / "scripts" / script, *args, "--env-file", self.settings],
            env={**os.environ, **self.variables},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def type(self, script: str, *args: str) -> tuple[int, str]:
        """Run a script; return its exit code and what it printed."""
        with self.start(script, *args) as process:
            said, _ = process.communicate()
        return process.returncode, said

    def compose(self) -> DockerClient:
        return DockerClient(
            compose_files=[ROOT / "compose" / "compose.yaml"],
            compose_project_name=self.name,
            compose_profiles=["*"],  # also nodes of an earlier, larger number
            compose_env_files=[self.settings],
        )

    def services(self) -> dict[str, str]:
        """Return the health of every container by service."""
        label = f"com.docker.compose.project={self.name}"
        return {
            str((c.config.labels or {})["com.docker.compose.service"]): str(
                c.state.health.status if c.state.health else None
            )
            for c in DockerClient().container.list(all=True, filters=[("label", label)])
        }


@pytest.fixture(scope="module")
def terminal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Terminal]:
    made = Terminal(tmp_path_factory.mktemp("demo"))
    yield made
    made.compose().compose.down(volumes=True, remove_orphans=True, timeout=3, quiet=True)


@pytest.fixture(scope="module")
def interrupted(terminal: Terminal) -> tuple[int, str]:
    """Stop the very first run while containers start."""
    with terminal.start("demo.py", "--nodes", "3", "--rounds", "2") as process:
        said = ""
        for line in process.stdout or ():
            said += line
            if "federation" in line:
                break
        time.sleep(1)  # into the middle of it
        os.killpg(process.pid, signal.SIGINT)
        said += process.communicate()[0]
    return process.returncode, said


@pytest.fixture(scope="module")
def first(terminal: Terminal, interrupted: tuple[int, str]) -> tuple[int, str]:
    return terminal.type("demo.py", "--nodes", "3", "--rounds", "2")


def test_an_interrupted_demo_says_how_to_go_on(interrupted: tuple[int, str]) -> None:
    code, said = interrupted
    assert code == INTERRUPTED, said
    assert "make demo goes on from here" in said
    assert "Traceback" not in said


def test_it_ends_with_a_trained_model_and_what_to_type_next(first: tuple[int, str]) -> None:
    code, said = first
    assert code == 0, said
    found = ACCURACY.search(said)
    assert found is not None, said
    assert float(found[1]) > 0.90
    assert "Round 1: loss" in said
    assert "finished:completed" in said
    assert "What to type next" in said
    assert re.search(r"First round done [\d.]+ s after the start", said)


def test_all_containers_are_healthy(terminal: Terminal, first: tuple[int, str]) -> None:
    nodes = [f"{role}-{n}" for role in ("supernode", "clientapp") for n in (1, 2, 3)]
    assert terminal.services() == dict.fromkeys(["superlink", "serverapp", *nodes], "healthy")


def test_a_second_run_takes_less_than_a_minute_and_follows_the_number_of_nodes(
    terminal: Terminal, first: tuple[int, str]
) -> None:
    started = time.monotonic()
    code, said = terminal.type("demo.py", "--nodes", "2", "--rounds", "2")
    took = time.monotonic() - started

    assert code == 0, said
    assert took < 60, said
    assert sorted(terminal.services()) == [
        *("clientapp-1", "clientapp-2", "serverapp", "superlink", "supernode-1", "supernode-2")
    ]


def test_runs_are_still_known_after_down_and_up(terminal: Terminal, first: tuple[int, str]) -> None:
    assert terminal.type("federation.py", "down")[0] == 0
    assert terminal.services() == {}
    code, said = terminal.type("federation.py", "up")
    assert code == 0, said

    listed = terminal.compose().compose.run("cli", ["ls"], remove=True, tty=False)
    assert "finished:completed" in str(listed)


@pytest.mark.parametrize(
    ("variable", "address"),
    [("FLWR_FLEET_PORT", "0.0.0.0"), ("FLWR_CONTROL_PORT", "127.0.0.1")],  # noqa: S104
)
def test_a_taken_port_is_told_with_the_variable_to_set(
    tmp_path: Path, variable: str, address: str
) -> None:
    other = Terminal(tmp_path)
    with socket.socket() as listener:
        listener.bind((address, int(other.variables[variable])))
        listener.listen()
        code, said = other.type("demo.py", "--nodes", "2")

    assert code == MISSING, said
    assert f"port {other.variables[variable]} of {address} is taken" in said
    assert f"set {variable} in" in said
    assert other.services() == {}
