"""kill -9 in the middle of a run: nothing acknowledged is lost, nothing is counted twice."""

import json
import os
import re
import signal
import time
from collections import defaultdict
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from tests.harness.apps import TINY, config, digest_in
from tests.harness.federation import Federation
from tests.harness.program import Program, descendants, eventually, processes
from tests.harness.toolset import OURS

ROUNDS = 4
_numbers = count(1)


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """A federation for tests that kill no daemon; what they do kill is replaced."""
    with Federation(tmp_path_factory.mktemp("calm"), tls=False) as federation:
        federation.superlink, *federation.nodes = start(federation)
        yield federation


@pytest.fixture(scope="module")
def undisturbed(calm: Federation) -> str:
    """The final model of the run when nothing dies."""
    run_id = submit(calm)
    calm.await_end(run_id)
    return digest_in(calm.log_of(run_id))


def start(federation: Federation) -> tuple[Program, Program, Program]:
    programs = (
        federation.start_superlink(),
        federation.start_node(1, OURS, "--log-level", "DEBUG"),
        federation.start_node(2),
    )
    federation.await_nodes(2)
    return programs


def superlink_of(federation: Federation) -> Program:
    assert federation.superlink is not None
    return federation.superlink


def submit(federation: Federation, **settings: object) -> str:
    pace = {"num_rounds": ROUNDS, "evaluate": False}
    return federation.submit(TINY, *config(**{**pace, **settings}))


def submit_held(federation: Federation) -> tuple[str, Path]:
    """Submit a run and await round 2; its ClientApps answer when the file is there."""
    gate = federation.root / f"gate-{next(_numbers)}"
    run_id = submit(federation, pause_round=2, until=str(gate))
    await_round(federation, run_id, 2)
    return run_id, gate


def await_round(federation: Federation, run_id: str, number: int) -> None:
    federation.await_log(run_id, f"[ROUND {number}/")


def child_running(pid: int, command: str) -> int:
    """Return the first process below ``pid`` whose command line holds ``command``."""
    found: list[int] = []

    def look() -> bool:
        alive = processes()
        found[:] = [p for p in descendants(pid) if command in alive.get(p, (0, ""))[1]]
        return bool(found)

    eventually(look, timeout=60, otherwise=lambda: f"no {command} below process {pid}")
    return found[0]


def runner_of(federation: Federation, run_id: str) -> int:
    """Return the runner of a run's ServerApp; another one may stand by for the next run."""
    lines = map(json.loads, superlink_of(federation).output.splitlines())
    (pid,) = [
        int(line["pid"])
        for line in lines
        if line.get("event") == "launched" and str(line["run_id"]) == run_id
    ]
    return pid


def answered(program: Program, service: str) -> dict[str, list[str]]:
    """Return who made the calls of a service that went well, by method."""
    peers: defaultdict[str, list[str]] = defaultdict(list)
    for line in program.output.splitlines():
        said = json.loads(line) if '"event": "call"' in line else {}
        if said.get("status") == "OK" and f".{service}/" in said["method"]:
            peers[said["method"].rpartition("/")[2]].append(said["peer"])
    return peers


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def counted_once(federation: Federation, run_id: str) -> None:
    received = re.findall(
        r"aggregate_train: Received (\d+) results and (\d+) failures", federation.log_of(run_id)
    )
    assert received == [("2", "0")] * ROUNDS


@pytest.mark.row("F6")
def test_a_run_survives_kill_9_of_the_superlink(federation: Federation, undisturbed: str) -> None:
    superlink, *_ = start(federation)
    run_id, gate = submit_held(federation)

    superlink.kill()
    time.sleep(1)  # nodes and ServerApp notice
    federation.start_superlink(name="superlink-again")
    gate.touch()

    run = federation.await_end(run_id, timeout=120)
    assert run["status"] == "finished:completed", run
    counted_once(federation, run_id)
    assert digest_in(federation.log_of(run_id)) == undisturbed


@pytest.mark.row("F42", "F44")
def test_a_run_survives_a_polite_restart_of_the_superlink(
    federation: Federation, undisturbed: str
) -> None:
    superlink, *_ = start(federation)
    run_id, gate = submit_held(federation)

    assert superlink.stop() == 0
    federation.start_superlink(name="superlink-again")
    gate.touch()

    run = federation.await_end(run_id, timeout=120)
    assert run["status"] == "finished:completed", run
    counted_once(federation, run_id)
    assert digest_in(federation.log_of(run_id)) == undisturbed


@pytest.mark.row("F2", "F3", "F4")
def test_a_run_survives_kill_9_of_a_supernode(federation: Federation, undisturbed: str) -> None:
    _, node, _ = start(federation)
    run_id, gate = submit_held(federation)

    node.kill()
    federation.start_node(1)
    gate.touch()

    run = federation.await_end(run_id, timeout=120)
    assert run["status"] == "finished:completed", run
    counted_once(federation, run_id)
    assert digest_in(federation.log_of(run_id)) == undisturbed
    nodes = federation.flwr_json("supernode", "list", "test")["nodes"]
    assert len(nodes) == 2, "the node must come back as itself"


@pytest.mark.row("F7")
def test_a_run_survives_kill_9_of_the_clients_superexec(calm: Federation, undisturbed: str) -> None:
    run_id, gate = submit_held(calm)

    kill(child_running(calm.nodes[0].pid, "superexec"))
    gate.touch()

    run = calm.await_end(run_id, timeout=120)
    assert run["status"] == "finished:completed", run
    assert digest_in(calm.log_of(run_id)) == undisturbed
    launches = answered(calm.nodes[0], "WholeLaunches")
    assert len(launches["OpenTube"]) == 2, "each SuperExec opens one"
    assert set(launches["Take"]) == set(launches["Finish"]) == {"tube"}
    assert len(launches["Finish"]) >= 2 * ROUNDS - 1


@pytest.mark.row("F7")
def test_a_run_survives_kill_9_of_the_servers_superexec(calm: Federation, undisturbed: str) -> None:
    run_id, gate = submit_held(calm)

    kill(child_running(superlink_of(calm).pid, "superexec"))
    gate.touch()

    run = calm.await_end(run_id, timeout=120)
    assert run["status"] == "finished:completed", run
    assert digest_in(calm.log_of(run_id)) == undisturbed
    again = calm.await_end(submit(calm, num_rounds=1))
    assert again["status"] == "finished:completed", "a new SuperExec must have taken over"


@pytest.mark.row("F1")
def test_kill_9_of_the_serverapp_fails_the_run_with_its_cause(calm: Federation) -> None:
    run_id, gate = submit_held(calm)

    kill(child_running(runner_of(calm, run_id), "runner.child"))

    run = calm.await_end(run_id)
    gate.touch()
    assert run["status"] == "finished:failed"
    assert "SIGKILL" in run["details"]


@pytest.mark.row("F1")
def test_kill_9_of_the_serverapps_runner_fails_the_run_with_its_cause(
    calm: Federation,
) -> None:
    run_id, gate = submit_held(calm)

    kill(runner_of(calm, run_id))

    run = calm.await_end(run_id)
    gate.touch()
    assert run["status"] == "finished:failed"
    assert "SIGKILL" in run["details"]


@pytest.mark.row("F5")
@pytest.mark.parametrize(
    ("how", "cause"),
    [
        ("client-killed", "SIGKILL"),
        ("client-exits", "exited with code 3|SystemExit"),
        ("client-raises", "ZeroDivisionError"),
    ],
)
def test_a_clientapp_that_dies_is_an_error_reply_and_others_go_on(
    calm: Federation, how: str, cause: str
) -> None:
    run_id = submit(calm, fail=how)

    run = calm.await_end(run_id)

    log = calm.log_of(run_id)
    assert run["status"] == "finished:completed", log
    received = re.findall(r"aggregate_train: Received (\d+) results and (\d+) failures", log)
    assert received == [("2", "0"), ("1", "1"), *[("2", "0")] * (ROUNDS - 2)]
    assert re.search(cause, log), log


@pytest.mark.row("F5")
def test_a_clientapp_that_dies_while_it_sends_leaves_nothing_of_its_reply(
    calm: Federation,
) -> None:
    large = {"size": 2_000_000, "evaluate": True}  # elements: two chunks
    raised = submit(calm, fail="client-raises", **large)
    killed = submit(calm, fail="client-killed-sending", **large)
    for run_id in (raised, killed):
        run = calm.await_end(run_id)
        assert run["status"] == "finished:completed", calm.log_of(run_id)

    log = calm.log_of(killed)
    received = re.findall(r"aggregate_train: Received (\d+) results and (\d+) failures", log)
    assert received == [("2", "0"), ("1", "1"), *[("2", "0")] * (ROUNDS - 2)]
    assert "ClientApp was killed by SIGKILL" in log, "the cause must reach the ServerApp"
    assert figures_of(calm, killed) == pytest.approx(figures_of(calm, raised), rel=1e-5)
    eventually(
        lambda: not list(calm.root.glob("node-*/**/*~")),
        timeout=120,
        otherwise=lambda: "a node keeps a part of what the app sent",
    )


@pytest.mark.row("F5")
def test_kill_9_of_a_clientapps_template_is_noticed(calm: Federation) -> None:
    run_id, gate = submit_held(calm)

    kill(child_running(calm.nodes[0].pid, "runner.template"))
    gate.touch()

    run = calm.await_end(run_id)
    assert run["status"] == "finished:completed", run
    received = re.findall(r"Received (\d+) results and (\d+) failures", calm.log_of(run_id))
    assert all(int(ok) + int(bad) == 2 for ok, bad in received), "every node must have answered"
    assert received[-1] == ("2", "0"), "another template must have taken its place"


@pytest.mark.row("F8", "F44")
def test_a_site_that_is_shut_down_and_started_again_rejoins(
    federation: Federation, undisturbed: str
) -> None:
    _, node, _ = start(federation)
    run_id, gate = submit_held(federation)

    os.kill(node.pid, signal.SIGTERM)
    gate.touch()  # what it has begun is finished first
    assert node.wait() == 0
    federation.start_node(1)

    run = federation.await_end(run_id, timeout=120)
    assert run["status"] == "finished:completed", run
    assert digest_in(federation.log_of(run_id)) == undisturbed


@pytest.mark.long
@pytest.mark.row("F2", "F3", "F6")
def test_large_models_survive_kill_9_in_mid_transfer_and_count_once(
    federation: Federation, calm: Federation
) -> None:
    size = 6_000_000  # elements: 24 MB, of which none is durable before it was promised
    undisturbed = submit(calm, size=size, pause=0, evaluate=True)
    calm.await_end(undisturbed, timeout=180)
    superlink, node, _ = start(federation)
    run_id = submit(federation, size=size, pause=0, evaluate=True)

    await_round(federation, run_id, 2)
    await_file_of(federation, "node-1")
    node.kill()
    again = federation.start_node(1)
    await_round(federation, run_id, 3)
    await_file_of(federation, "superlink")
    superlink.kill()
    federation.start_superlink(name="superlink-again")
    await_round(federation, run_id, 4)
    await_file_of(federation, "node-1")
    again.kill()
    federation.start_node(1)

    run = federation.await_end(run_id, timeout=180)
    assert run["status"] == "finished:completed", run
    counted_once(federation, run_id)
    assert figures_of(federation, run_id) == pytest.approx(figures_of(calm, undisturbed), rel=1e-5)


def figures_of(federation: Federation, run_id: str) -> list[float]:
    """Return what the run's last models and contexts amount to.

    No digest: of millions of sums the last bit of some depends on which reply came first.
    """
    log = federation.log_of(run_id)
    means = [float(found) for found in re.findall(r"'mean': ([\d.e-]+)", log)]
    seen = [float(found) for found in re.findall(r"'rounds-seen': ([\d.]+)", log)]
    assert len(means) >= ROUNDS, log
    return [means[-1], max(seen)]


def await_file_of(federation: Federation, daemon: str) -> None:
    """Wait until a daemon writes large content that it has promised to nobody."""

    def writes() -> bool:  # walk() looks over what goes away meanwhile
        folders = [f for f in federation.root.glob(f"{daemon}*") if f.is_dir()]
        return any(f.endswith("~") for top in folders for *_, fs in os.walk(top) for f in fs)

    eventually(
        writes,
        timeout=60,
        otherwise=lambda: f"{daemon} writes nothing",
    )
