"""Whole runs on Ray: what is open meanwhile, what is left, and a cluster that loses a machine."""

import os
import re
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

import pytest

from flwr.core.run import RunStatus
from tests.harness.apps import TINY, digest_in
from tests.harness.apps import config as run_config
from tests.harness.federation import Federation
from tests.harness.ports import free_address
from tests.harness.program import Program, descendants, eventually, processes
from tests.harness.simulator import start_simulator, virtual
from tests.harness.sockets import sockets
from tests.simulation.commands import config, document_in, run, simulating

pytestmark = pytest.mark.skipif(
    find_spec("ray") is None, reason="Ray is not installed: pip install 'flwr-compose[ray]'"
)

ON_RAY = ("--backend", "ray", "--workers", "2")
LOOPBACK = {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


def tree(program: Program) -> set[int]:
    return {program.pid, *descendants(program.pid)}


def folder_of(pids: set[int]) -> Path:
    """Return where the Ray of these processes keeps its files."""
    commands = " ".join(command for pid, (_, command) in processes().items() if pid in pids)
    found = re.search(r"/\S*/flwr-ray-[^/\s]+", commands)
    assert found, commands
    return Path(found[0])


@pytest.mark.row("S22", "S74")
def test_ray_of_our_own_listens_on_loopback_alone_and_ends_with_the_model_of_the_pool(
    tmp_path: Path,
) -> None:
    pooled, _ = run(tmp_path / "pool", TINY, 6, *config({"nodes": 6, "pause": 0.3}))
    values = config({"nodes": 6, "pause": 0.3})
    with simulating(tmp_path / "ray", TINY, 6, *ON_RAY, *values) as program:
        eventually(lambda: "client log" in program.output, timeout=90)
        pids = tree(program)
        folder = folder_of(pids)
        listening = [found for found in sockets(pids) if found.state == "listening"]
        assert folder.is_dir()
        assert program.wait(90) == 0, program.output[-3000:]
    assert {found.local[0] for found in listening} <= LOOPBACK
    assert listening
    assert digest_in(program.output) == digest_in(pooled)
    assert not pids & processes().keys()
    assert not folder.exists()
    assert program.output.count("client log: partition 5 round") == 2
    assert "RAY" not in program.output
    assert "dashboard" not in program.output


@pytest.mark.row("S72", "S74")
def test_a_stopped_run_of_a_superlink_leaves_nothing_of_ray_behind(tmp_path: Path) -> None:
    with Federation(tmp_path, tls=False) as federation:
        link = start_simulator(federation)
        nodes = virtual(4, client_resources_num_cpus=1)
        run_id = federation.submit(TINY, *nodes, *run_config(nodes=4, pause=60.0))
        eventually(lambda: "Sampled 4 nodes" in federation.log_of(run_id), timeout=90, step=0.5)
        rays = {p for p in descendants(link.pid) if "ray" in processes().get(p, (0, ""))[1]}
        federation.flwr("stop", run_id, "test")
        federation.await_status(run_id, RunStatus.STOPPED)
        eventually(lambda: not rays & processes().keys(), timeout=60)


@pytest.mark.long
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_simulation_leaves_nothing_behind(tmp_path: Path, number: int) -> None:
    with simulating(tmp_path, TINY, 4, *ON_RAY, *config({"nodes": 4, "pause": 60.0})) as program:
        eventually(lambda: "Sampled 4 nodes" in program.output, timeout=90)
        pids = tree(program)
        folder = folder_of(pids)
        os.kill(program.pid, number)
        assert program.wait(60) == 128 + number
        eventually(lambda: not pids & processes().keys(), timeout=60)
        assert not folder.exists()
        assert document_in(program.output)["status"] == "stopped"


@pytest.mark.long
def test_processes_of_a_killed_simulation_end_too(tmp_path: Path) -> None:
    with simulating(tmp_path, TINY, 4, *ON_RAY, *config({"nodes": 4, "pause": 60.0})) as program:
        eventually(lambda: "Sampled 4 nodes" in program.output, timeout=90)
        pids = tree(program)
        folder = folder_of(pids)
        os.kill(program.pid, signal.SIGKILL)
        # Two agents of Ray would wait a minute for the rest of it to come back.
        eventually(lambda: not pids & processes().keys(), timeout=20)
        assert not folder.exists()


@pytest.mark.long
@pytest.mark.row("S74")
def test_a_clientapp_that_kills_its_worker_twice_fails_alone(tmp_path: Path) -> None:
    values = config({"nodes": 30, "num-rounds": 3, "fail": "client-killed"})
    output, document = run(tmp_path, TINY, 30, *ON_RAY, *values)
    assert "aggregate_train: Received 29 results and 1 failures" in output
    assert output.count("aggregate_train: Received 30 results and 0 failures") == 2
    assert document["messages"] == {"answered": 210, "failed": 1}


class Machines:
    """Ray nodes on addresses of their own of this machine, as if they were machines."""

    def __init__(self, root: Path, stack: ExitStack) -> None:
        self._root, self._stack = root, stack
        port = free_address().rpartition(":")[2]
        self.address = f"127.0.0.2:{port}"
        self.head = self._start("127.0.0.2", "--head", f"--port={port}", "--num-cpus=0")
        eventually(lambda: "Ray runtime started" in self.head.output, timeout=90)

    def add(self, ip: str) -> Program:
        """Start a machine with one CPU."""
        node = self._start(ip, f"--address={self.address}", "--num-cpus=1")
        eventually(lambda: "Ray runtime started" in node.output, timeout=90)
        return node

    def _start(self, ip: str, *args: str) -> Program:
        argv = [sys.executable, "-P", "-m", "ray.scripts.scripts", "start", "--block"]
        argv += [f"--node-ip-address={ip}", "--num-gpus=0", "--object-store-memory=100000000"]
        argv += ["--min-worker-port=0", "--max-worker-port=0"]  # any: ours may be of Ray's range
        log = self._root / f"{ip}.log"
        program = Program(f"ray {ip}", [*argv, *args], log=log, env=quiet(), cwd=self._root)
        self._stack.callback(program.end)
        return program


def quiet() -> dict[str, str]:
    return {
        **os.environ,
        "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": "t" * 40,
        "PYTHONUNBUFFERED": "1",
    }


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[Machines]:
    with ExitStack() as stack:
        yield Machines(tmp_path, stack)


@pytest.mark.long
@pytest.mark.row("S78")
def test_a_cluster_at_an_address_loses_a_machine_and_the_run_goes_on(
    tmp_path: Path, machines: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    machines.add("127.0.0.3")
    lost = machines.add("127.0.0.4")
    for name, value in quiet().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RAY_ADDRESS", machines.address)
    values = config({"nodes": 10, "num-rounds": 2, "pause": 0.5})
    with simulating(tmp_path / "run", TINY, 10, "--backend", "ray", *values) as program:
        eventually(lambda: "client log" in program.output, timeout=90)
        lost.end()
        assert program.wait(120) == 0, program.output[-3000:]
    assert "2 machines of the Ray cluster at" in program.output
    assert program.output.count("aggregate_train: Received 10 results and 0 failures") == 2
    assert machines.head.is_alive


def test_an_address_where_nothing_answers_is_said_at_once(tmp_path: Path) -> None:
    started = time.monotonic()
    with simulating(tmp_path, TINY, 2, *ON_RAY, "--init-args", f'address="{free_address()}"') as it:
        assert it.wait(120) == 3
    assert time.monotonic() - started < 60
    assert "no Ray cluster answers at" in document_in(it.output)["error-message"]
