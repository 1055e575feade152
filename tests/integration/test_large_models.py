"""Large models pass through daemons and executors; they are never in them."""

from pathlib import Path

from tests.harness.apps import config
from tests.harness.federation import CONNECTION, Federation
from tests.harness.program import Program, eventually, processes
from tests.harness.toolset import ROOT

ECHO = ROOT / "tests" / "bench" / "app"
SCRIBBLER = ROOT / "tests" / "apps" / "scribbling"
SCRIBBLING = (
    *("--server-app", f"{SCRIBBLER / 'hub.py'}:app"),
    *("--client-app", f"{SCRIBBLER / 'node.py'}:app"),
)
MODEL_MB = 160
ROUNDS = 2


def most_resident_mb(pid: int) -> float:
    """Return the most memory that a process ever had, as the kernel counts."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1e3 for line in lines if line.startswith("VmHWM:"))


def executors_of(program: Program) -> list[int]:
    """Return its own children alone: what an executor starts has its command line for a moment."""
    return [
        pid
        for pid, (parent, command) in processes().items()
        if parent == program.pid and "flwr.superexec.main" in command
    ]


def test_daemons_and_executors_hold_a_fraction_of_a_model(federation: Federation) -> None:
    superlink = federation.start_superlink()
    node = federation.start_node(1, of=1)
    federation.await_nodes(1)
    eventually(lambda: executors_of(node), timeout=60)
    daemons = {"superlink": superlink.pid, "supernode": node.pid}
    before = {name: most_resident_mb(pid) for name, pid in daemons.items()}

    config = f"nodes=1 bytes={MODEL_MB * 1_000_000} warm={ROUNDS - 1}"
    run = federation.await_end(federation.submit(ECHO, "--run-config", config))

    assert run["status"] == "finished:completed", federation.log_of(run["run-id"])
    grown = {name: most_resident_mb(pid) - before[name] for name, pid in daemons.items()}
    assert max(grown.values()) < MODEL_MB / 2, grown
    (executor,) = executors_of(node)
    assert most_resident_mb(executor) < MODEL_MB / 2  # it imports half of that; its app has a hatch


def test_a_model_is_received_in_place_and_what_is_written_to_it_is_its_apps_alone(
    federation: Federation,
) -> None:
    """The same files are mapped by one app after another, and by one that got them twice."""
    federation.start_superlink()
    federation.start_node(1, of=1)
    federation.await_nodes(1)
    size = 20_000_000 // 4  # four chunks

    run = federation.flwr_json("run", CONNECTION, *SCRIBBLING, *config(size=size))["run-id"]

    ended = federation.await_end(run)
    log = federation.log_of(run)
    assert ended["status"] == "finished:completed", log
    fine = "before True, again True, mine True, files 4"
    assert log.count(f"at the node: {fine}") == 4, log
    assert log.count(f"at the hub: {fine}") == 4, log
