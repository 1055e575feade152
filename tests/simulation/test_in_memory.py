"""Messages of a simulation stay in memory, and no failure of a ClientApp or worker ends the run."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from tests.harness.apps import TINY, digest_in
from tests.harness.apps import config as run_config
from tests.harness.federation import Federation
from tests.harness.program import Program, descendants, eventually, processes
from tests.simulation.commands import Watched, config, document_in, run, simulating, watch

TWO_WORKERS = ("--workers", "2")


def watched(root: Path, nodes: int) -> tuple[Watched, str]:
    pause = 1.0 / nodes  # long enough, on few nodes too, for several looks
    args = (*TWO_WORKERS, *config({"nodes": nodes, "num-rounds": 2, "pause": pause}))
    with simulating(root, TINY, nodes, *args) as program:
        seen = watch(program)
        assert program.wait() == 0, program.output[-3000:]
        return seen, program.output


@pytest.mark.row("S22", "S76")
def test_500_nodes_take_no_more_sockets_than_10_and_nobody_listens(tmp_path: Path) -> None:
    few, _ = watched(tmp_path / "few", 10)
    many, output = watched(tmp_path / "many", 500)
    assert few.looks > 5
    assert many.looks > 5
    assert (few.processes, many.processes) == (3, 3)  # the run and its two workers
    assert many.sockets == few.sockets == 0
    assert many.tcp == few.tcp == set()
    assert many.descriptors < few.descriptors + 20  # files come and go while apps are imported
    assert f"partitions: {list(range(500))}" in output
    assert output.count("aggregate_train: Received 500 results and 0 failures") == 2
    assert output.count("aggregate_evaluate: Received 500 results and 0 failures") == 2
    document = document_in(output)
    assert document["messages"] == {"answered": 2500, "failed": 0}
    assert (document["success"], document["status"]) == (True, "completed")


def test_a_socket_would_have_been_seen(tmp_path: Path) -> None:
    code = "import socket, time; s = socket.create_server(('127.0.0.1', 0)); time.sleep(60)"
    argv = [sys.executable, "-c", code]
    program = Program("listener", argv, log=tmp_path / "log", env=os.environ, cwd=tmp_path)
    try:
        seen = watch(program, lambda seen: bool(seen.tcp))
    finally:
        program.end()
    assert seen.sockets == 1
    assert {found.state for found in seen.tcp} == {"listening"}


@pytest.mark.row("S70")
def test_simulation_and_deployment_end_with_the_same_model(tmp_path: Path) -> None:
    simulated, document = run(tmp_path / "simulated", TINY, 2)
    with Federation(tmp_path / "deployed", tls=False) as federation:
        federation.start_superlink()
        for number in (1, 2):
            federation.start_node(number)
        federation.await_nodes(2)
        run_id = federation.submit(TINY, *run_config(nodes=2))
        deployed = federation.await_end(run_id)
        assert deployed["status"] == "finished:completed"
        assert digest_in(federation.log_of(run_id)) == digest_in(simulated)
    assert document["fab-hash"].startswith(deployed["fab-hash"])


@pytest.mark.row("S22")
def test_state_is_kept_per_node_over_rounds(tmp_path: Path) -> None:
    output, _ = run(
        tmp_path, TINY, 7, *TWO_WORKERS, *config({"nodes": 7, "num-rounds": 3, "evaluate": False})
    )
    found = re.search(r"rounds-seen: ([0-9.]+) calls: ([0-9.]+)", output)
    assert found, output[-2000:]
    assert float(found[1]) == pytest.approx(3.0)  # every node its own; workers saw more calls
    assert float(found[2]) > 3.0


@pytest.mark.row("S77")
def test_with_a_fresh_start_each_message_is_the_first_its_app_sees(tmp_path: Path) -> None:
    values = {"nodes": 7, "num-rounds": 3, "evaluate": False}
    output, _ = run(tmp_path, TINY, 7, *TWO_WORKERS, "--app-start", "fresh", *config(values))
    found = re.search(r"rounds-seen: ([0-9.]+) calls: ([0-9.]+)", output)
    assert found, output[-2000:]
    assert float(found[1]) == pytest.approx(3.0)
    assert float(found[2]) == pytest.approx(1.0)


@pytest.mark.row("S75")
@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        ("client-raises", "<class 'ZeroDivisionError'>:<'boom'>"),
        ("client-exits", "<class 'SystemExit'>:<'3'>"),
        ("client-killed", "ClientApp was killed by SIGKILL"),
    ],
)
def test_a_clientapp_that_fails_costs_its_message_alone(
    tmp_path: Path, failure: str, reason: str
) -> None:
    output, document = run(
        tmp_path, TINY, 30, *TWO_WORKERS, *config({"nodes": 30, "num-rounds": 3, "fail": failure})
    )
    assert "aggregate_train: Received 29 results and 1 failures" in output
    assert output.count("aggregate_train: Received 30 results and 0 failures") == 2
    assert reason in output
    assert document["messages"] == {"answered": 210, "failed": 1}
    assert document["success"]


@pytest.mark.row("S75")
def test_a_worker_killed_from_outside_is_replaced_and_its_message_tried_again(
    tmp_path: Path,
) -> None:
    gate = tmp_path / "gate"
    nodes = {"nodes": 4, "num-rounds": 1, "until": str(gate), "evaluate": False}
    with simulating(tmp_path, TINY, 4, *TWO_WORKERS, *config(nodes)) as program:
        eventually(lambda: "Sampled 4 nodes" in program.output, timeout=90)
        time.sleep(0.5)
        os.kill(descendants(program.pid)[0], signal.SIGKILL)
        eventually(lambda: "another takes its place" in program.output, timeout=60)
        gate.touch()
        assert program.wait() == 0
        assert "Received 4 results and 0 failures" in program.output
        assert "another takes its place" in program.output


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stopped_simulation_leaves_no_process_behind(tmp_path: Path, number: int) -> None:
    nodes = {"nodes": 4, "pause": 60.0}
    with simulating(tmp_path, TINY, 4, *TWO_WORKERS, *config(nodes)) as program:
        eventually(lambda: "Sampled 4 nodes" in program.output, timeout=90)
        workers = descendants(program.pid)
        assert len(workers) == 2
        mapped = Path(f"/proc/{program.pid}/maps").read_text()
        assert "/dev/shm/" not in mapped  # noqa: S108  # nothing with a name that could stay
        os.kill(program.pid, number)
        assert program.wait() == 128 + number
        assert not set(workers) & processes().keys()
        assert document_in(program.output)["status"] == "stopped"


def test_workers_of_a_killed_simulation_end_too(tmp_path: Path) -> None:
    nodes = {"nodes": 4, "pause": 60.0}
    with simulating(tmp_path, TINY, 4, *TWO_WORKERS, *config(nodes)) as program:
        eventually(lambda: "Sampled 4 nodes" in program.output, timeout=90)
        workers = set(descendants(program.pid))
        program.kill()
        eventually(lambda: not workers & processes().keys(), timeout=60)


def on_a_terminal(root: Path, *args: str) -> str:
    """Run a simulation of six nodes whose standard streams are a terminal; return what it shows."""
    argv = [sys.executable, "-P", "-m", "flwr.simulation.main", "--app", str(TINY)]
    argv += ["--num-supernodes", "6", *TWO_WORKERS, *args]
    ours, theirs = os.openpty()
    env = {**os.environ, "FLWR_HOME": str(root), "TERM": "xterm", "COLUMNS": "120"}
    with subprocess.Popen(argv, stdin=theirs, stdout=theirs, stderr=theirs, env=env) as process:
        os.close(theirs)
        shown = b""
        with suppress(OSError):  # that is how a terminal ends
            while piece := os.read(ours, 65536):
                shown += piece
        assert process.wait(60) == 0, shown[-3000:]
    os.close(ours)
    return shown.decode()


def test_a_terminal_shows_progress_and_a_pipe_does_not(tmp_path: Path) -> None:
    values = config({"nodes": 6, "num-rounds": 1, "pause": 0.5, "evaluate": False})
    shown = on_a_terminal(tmp_path, *values)
    assert re.search(r"round 1/1 · \d/6 clients · \d+ clients/s", shown)
    assert "client log: partition 5 round 1" in shown  # what workers print is not drawn over
    assert "completed in" in shown
    piped, document = run(tmp_path, TINY, 6, *TWO_WORKERS, *values)
    assert "clients/s" not in piped
    assert "\x1b[2K" not in piped
    assert document["messages"]["answered"] == 12


def test_quiet_is_what_the_app_prints(tmp_path: Path) -> None:
    values = config({"nodes": 6, "num-rounds": 1, "evaluate": False})
    shown = on_a_terminal(tmp_path, "--quiet", *values)
    assert "model digest" in shown
    assert "INFO" not in shown
    assert "clients/s" not in shown
    assert "completed in" not in shown


def test_a_serverapp_that_raises_fails_the_run(tmp_path: Path) -> None:
    output, document = run(tmp_path, TINY, 2, *config({"fail": "server-raises"}))
    assert document["error-message"] == "the ServerApp raised RuntimeError: server boom"
    assert (document["success"], document["status"]) == (False, "failed")
    assert "Traceback" in output


@pytest.mark.parametrize(
    ("args", "cause"),
    [
        (("--num-supernodes", "0"), "a simulation of 0 nodes is impossible"),
        (("--workers", "0"), "0 workers wanted"),
        (("--backend", "carrier-pigeon"), "there is no simulation backend 'carrier-pigeon'"),
        (("--run-config", "nonsense=1"), "Key 'nonsense' is not present"),
        (("--app", "no-such.fab"), "the app no-such.fab cannot be read"),
    ],
)
def test_bad_input_is_refused_with_cause(tmp_path: Path, args: tuple[str, str], cause: str) -> None:
    output, document = run(tmp_path, TINY, 2, *args)
    assert not document["success"]
    assert cause in document["error-message"]
    assert "Traceback" not in output


def test_a_superexec_may_start_the_command_for_a_run_of_its_superlink(tmp_path: Path) -> None:
    argv = [sys.executable, "-P", "-m", "flwr.simulation.main", "--check-config", "--insecure"]
    argv += ["--serverappio-api-address", "127.0.0.1:9191", "--token", "t"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout)["serverappio_api_address"] == "127.0.0.1:9191"
