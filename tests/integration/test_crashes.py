"""kill -9 in the middle of a run: nothing acknowledged is lost, nothing is counted twice."""

import json
import os
import re
import signal
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from itertools import count
from pathlib import Path

import pytest

from tests.harness.apps import TINY, config, digest_in
from tests.harness.federation import Federation
from tests.harness.program import Program, descendants, eventually, processes
from tests.harness.tap import Tap
from tests.harness.toolset import OURS

ROUNDS = 4
SMALL = 100  # elements of a model that travels with its message
LARGE = 1_500_000  # of 6 MB, which travel apart from it, as files
DEPOSITED = 5_000_000  # of 20 MB, which are with the daemon before a message names them
SIZES = (SMALL, LARGE, DEPOSITED)
PART = 2_000_000  # bytes of a LARGE one; nothing else is as much
AN_APP_FOR_EACH = ("--max-apps", str(len(SIZES)))  # at once, on whatever machine
Outcome = tuple[str, str]
Outcomes = Mapping[int, Outcome]  # by size of the model
_numbers = count(1)


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """A federation for tests that kill no daemon; what they do kill is replaced."""
    with Federation(tmp_path_factory.mktemp("calm"), tls=False) as federation:
        federation.superlink, *federation.nodes = start(federation)
        yield federation


@pytest.fixture(scope="module")
def undisturbed(calm: Federation) -> Outcomes:
    """What comes of the run when nothing dies, by the size of its model."""
    runs = {size: submit(calm, size=size) for size in SIZES}
    return {size: outcome_of(calm, run_id) for size, run_id in runs.items()}


def start(federation: Federation) -> tuple[Program, Program, Program]:
    programs = (
        federation.start_superlink(),
        federation.start_node(1, OURS, *AN_APP_FOR_EACH, "--log-level", "DEBUG"),
        federation.start_node(2, OURS, *AN_APP_FOR_EACH),
    )
    federation.await_nodes(2)
    return programs


def superlink_of(federation: Federation) -> Program:
    assert federation.superlink is not None
    return federation.superlink


def submit(federation: Federation, **settings: object) -> str:
    pace = {"num_rounds": ROUNDS, "evaluate": False, "exact": True}
    return federation.submit(TINY, *config(**{**pace, **settings}))


def submit_held(federation: Federation) -> tuple[str, Path]:
    """Submit a run whose ClientApps are at work in round 2: they answer when the file is there."""
    (run_id,), gate = submit_all_held(federation, SMALL)
    return run_id, gate


def submit_all_held(federation: Federation, *sizes: int) -> tuple[list[str], Path]:
    """Submit a run for each size of a model, and hold all of them."""
    gate = federation.root / f"gate-{next(_numbers)}"
    runs = [submit(federation, size=size, pause_round=2, until=str(gate)) for size in sizes]
    waiting = [Path(f"{gate}-{run_id}-{partition}") for run_id in runs for partition in (0, 1)]
    eventually(
        lambda: all(path.exists() for path in waiting),
        timeout=60,
        otherwise=lambda: f"not all ClientApps of {runs} came as far as round 2",
    )
    return runs, gate


def outcome_of(federation: Federation, run_id: str) -> Outcome:
    """Await the end of a run; return a digest of its model, every bit, and what Contexts count."""
    run = federation.await_end(run_id, timeout=180)
    assert run["status"] == "finished:completed", run
    log = federation.log_of(run_id)
    seen = re.search(r"^rounds-seen: [\d.]+", log, re.MULTILINE)
    assert seen, log
    return digest_in(log), seen.group()


def await_as_undisturbed(
    federation: Federation, runs: Iterable[str], undisturbed: Outcomes
) -> None:
    """Await the end of runs, one for each size of a model: nothing may have come of the crash."""
    for run_id, expected in zip(runs, undisturbed.values(), strict=True):
        assert outcome_of(federation, run_id) == expected
        counted_once(federation, run_id)


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
def test_a_run_survives_kill_9_of_the_superlink(
    federation: Federation, undisturbed: Outcomes
) -> None:
    superlink, *_ = start(federation)
    runs, gate = submit_all_held(federation, *SIZES)

    superlink.kill()
    time.sleep(1)  # nodes and ServerApp notice
    federation.start_superlink(name="superlink-again")
    gate.touch()

    await_as_undisturbed(federation, runs, undisturbed)


@pytest.mark.row("F42", "F44")
def test_a_run_survives_a_polite_restart_of_the_superlink(
    federation: Federation, undisturbed: Outcomes
) -> None:
    superlink, *_ = start(federation)
    runs, gate = submit_all_held(federation, *SIZES)

    assert superlink.stop() == 0
    federation.start_superlink(name="superlink-again")
    gate.touch()

    await_as_undisturbed(federation, runs, undisturbed)


@pytest.mark.row("F2", "F3", "F4")
def test_a_run_survives_kill_9_of_a_supernode(
    federation: Federation, undisturbed: Outcomes
) -> None:
    _, node, _ = start(federation)
    runs, gate = submit_all_held(federation, *SIZES)

    node.kill()
    federation.start_node(1)
    gate.touch()

    await_as_undisturbed(federation, runs, undisturbed)
    nodes = federation.flwr_json("supernode", "list", "test")["nodes"]
    assert len(nodes) == 2, "the node must come back as itself"


@pytest.mark.row("F7")
def test_a_run_survives_kill_9_of_the_clients_superexec(
    calm: Federation, undisturbed: Outcomes
) -> None:
    runs, gate = submit_all_held(calm, *SIZES)

    kill(child_running(calm.nodes[0].pid, "superexec"))
    gate.touch()

    await_as_undisturbed(calm, runs, undisturbed)
    launches = answered(calm.nodes[0], "WholeLaunches")
    assert len(launches["OpenTube"]) == 2, "each SuperExec opens one"
    assert set(launches["Take"]) == set(launches["Finish"]) == {"tube"}
    assert len(launches["Finish"]) >= 2 * ROUNDS - 1


@pytest.mark.row("F7")
def test_a_run_survives_kill_9_of_the_servers_superexec(
    calm: Federation, undisturbed: Outcomes
) -> None:
    runs, gate = submit_all_held(calm, *SIZES)

    kill(child_running(superlink_of(calm).pid, "superexec"))
    gate.touch()

    await_as_undisturbed(calm, runs, undisturbed)
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
@pytest.mark.parametrize("size", [LARGE, DEPOSITED])
def test_a_clientapp_that_dies_while_it_sends_leaves_nothing_of_its_reply(
    calm: Federation, size: int
) -> None:
    raised = submit(calm, fail="client-raises", size=size)
    killed = submit(calm, fail="client-killed-sending", size=size)

    assert outcome_of(calm, killed) == outcome_of(calm, raised)
    log = calm.log_of(killed)
    received = re.findall(r"aggregate_train: Received (\d+) results and (\d+) failures", log)
    assert received == [("2", "0"), ("1", "1"), *[("2", "0")] * (ROUNDS - 2)]
    assert "ClientApp was killed by SIGKILL" in log, "the cause must reach the ServerApp"
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
    federation: Federation, undisturbed: Outcomes
) -> None:
    _, node, _ = start(federation)
    runs, gate = submit_all_held(federation, *SIZES)

    os.kill(node.pid, signal.SIGTERM)
    gate.touch()  # what it has begun is finished first
    assert node.wait() == 0
    federation.start_node(1)

    await_as_undisturbed(federation, runs, undisturbed)


@pytest.mark.long
@pytest.mark.row("F2", "F3", "F6")
def test_large_models_survive_kill_9_in_mid_transfer(
    federation: Federation, undisturbed: Outcomes
) -> None:
    superlink = federation.start_superlink()
    gate = federation.root / "gate"
    with Tap(federation.fleet) as tap:
        node = start_behind(tap, federation)
        federation.start_node(2, OURS)
        federation.await_nodes(2)
        run_id = submit(federation, size=LARGE, pause_round=1, until=str(gate))
        eventually(lambda: len(list(federation.root.glob("gate-*"))) == 2, timeout=60)

        tap.hold("up", PART)
        gate.touch()
        tap.await_held("up")
        # What the apps of the query and of round 1 keep is kept once they have finished.
        eventually(lambda: len(answered(node, "WholeLaunches")["Finish"]) == 2, timeout=60)
        node.kill()  # while it sends its reply
        tap.hold("down", PART)
        tap.release("up")
        node = start_behind(tap, federation)
        tap.await_held("down")
        node.kill()  # while it receives the next model
        tap.hold("up", PART)
        tap.release("down")
        start_behind(tap, federation)
        tap.await_held("up")
        superlink.kill()  # while it receives the reply
        tap.hold("down", PART)
        tap.release("up")
        superlink = federation.start_superlink(name="superlink-again")
        tap.await_held("down")
        superlink.kill()  # while it sends the next model
        tap.release("down")
        federation.start_superlink(name="superlink-at-last")

        assert outcome_of(federation, run_id) == undisturbed[LARGE]
        counted_once(federation, run_id)


def start_behind(tap: Tap, federation: Federation) -> Program:
    """Start node 1; all it sends and gets passes the tap."""
    direct, federation.fleet = federation.fleet, tap.address
    node = federation.start_node(1, OURS, "--log-level", "DEBUG")
    federation.fleet = direct
    return node
