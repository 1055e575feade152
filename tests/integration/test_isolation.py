"""Both isolation modes on both sides, mixed: who starts which process, and when it is gone."""

import json
from pathlib import Path

import pytest

from tests.harness.apps import TINY, config, digest_in, quick
from tests.harness.federation import Federation
from tests.harness.ports import free_address
from tests.harness.program import Program, apps_among, descendants, eventually, processes, stands_by
from tests.harness.toolset import OURS


def superexec(federation: Federation, kind: str, address: str, name: str) -> Program:
    flags = ["--insecure", "--appio-api-address", address, "--plugin-type", kind]
    return federation.start(name, OURS, "flower-superexec", *flags)


def commands_below(program: Program) -> list[str]:
    alive = processes()
    return [alive[pid][1] for pid in descendants(program.pid) if pid in alive]


def apps_below(program: Program) -> list[int]:
    """Return the app processes and the runners of ServerApps."""
    alive, below = processes(), descendants(program.pid)
    runners = [
        pid
        for pid in below
        if "serverapp_main" in alive.get(pid, (0, ""))[1] and not stands_by(pid)
    ]
    return runners + apps_among(below)


def node_in_process_mode(federation: Federation, number: int) -> tuple[Program, str]:
    address = free_address()
    flags = ["--isolation", "process", "--appio-insecure", "--clientappio-api-address", address]
    node = federation.start_node(number, OURS, *flags)
    node.await_port(address)
    assert not commands_below(node), "nothing launches apps but the SuperExec that somebody starts"
    return node, address


def zombies_below(program: Program) -> list[str]:
    """Return the processes below ``program`` that have ended and were never waited for."""
    return [
        stat.parent.name
        for parent in (program.pid, *descendants(program.pid))
        for stat in Path("/proc").glob("[0-9]*/stat")
        if _is_zombie_of(stat, parent)
    ]


def _is_zombie_of(stat: Path, parent: int) -> bool:
    try:
        state, parent_pid, *_ = stat.read_text().rsplit(")", 1)[1].split()
    except OSError:
        return False
    return state == "Z" and int(parent_pid) == parent


def events(program: Program, name: str) -> list[dict[str, object]]:
    """Return the lines of its log that tell of ``name``."""
    lines = map(_json, program.output.splitlines())
    return [line for line in lines if line.get("event") == name]


@pytest.mark.row("S1", "S6", "S23", "S8")
def test_link_and_nodes_alone_complete_a_run(federation: Federation) -> None:
    superlink = federation.start_superlink()
    nodes = [federation.start_node(n, of=3) for n in (1, 2, 3)]
    federation.await_nodes(3)
    for program in (superlink, *nodes):
        eventually(
            lambda parent=program: any(  # type: ignore[misc]
                "superexec" in c for c in commands_below(parent)
            ),
            timeout=60,
            otherwise=lambda: "SuperExec must be a child",
        )

    run = federation.await_end(federation.submit(TINY, *quick(nodes=3)))

    assert run["status"] == "finished:completed"
    eventually(
        lambda: not [a for p in (superlink, *nodes) for a in apps_below(p)],
        timeout=60,
        otherwise=lambda: "app processes must be gone",
    )


@pytest.mark.row("S24", "S25", "S26", "S6")
@pytest.mark.parametrize(
    ("link_mode", "node_mode"),
    [
        ("process", "process"),
        pytest.param("process", "subprocess", marks=pytest.mark.long),
        pytest.param("subprocess", "process", marks=pytest.mark.long),
    ],
)
def test_modes_mix_per_component(federation: Federation, link_mode: str, node_mode: str) -> None:
    link_flags = ["--isolation", "process", "--appio-insecure"] if link_mode == "process" else []
    superlink = federation.start_superlink(OURS, *link_flags)
    for number in (1, 2):
        if node_mode == "process":
            _, address = node_in_process_mode(federation, number)
            superexec(federation, "clientapp", address, f"executor-{number}")
        else:
            federation.start_node(number)
    federation.await_nodes(2)
    if link_mode == "process":
        assert not commands_below(superlink)
        superexec(federation, "serverapp", federation.serverappio, "executor")

    run = federation.await_end(federation.submit(TINY, *quick()))

    assert run["status"] == "finished:completed", federation.log_of(run["run-id"])
    digest_in(federation.log_of(run["run-id"]))


@pytest.mark.row("S6", "S24")
def test_a_run_waits_visibly_for_an_executor_and_a_new_one_takes_over(
    federation: Federation,
) -> None:
    federation.start_superlink(OURS, "--isolation", "process", "--appio-insecure")
    federation.start_node(1)
    federation.start_node(2)
    federation.await_nodes(2)
    first = federation.submit(TINY, *quick())
    waiting = federation.run_status(first)
    assert waiting["status"] == "pending"
    assert "SuperExec" in waiting["details"]

    executor = superexec(federation, "serverapp", federation.serverappio, "executor-1")
    assert federation.await_end(first)["status"] == "finished:completed"
    executor.kill()
    second = federation.submit(TINY, *quick())
    assert federation.run_status(second)["status"] == "pending"
    superexec(federation, "serverapp", federation.serverappio, "executor-2")
    assert federation.await_end(second)["status"] == "finished:completed"


@pytest.mark.row("S25")
def test_a_sites_executor_may_be_replaced_between_runs(federation: Federation) -> None:
    federation.start_superlink()
    executors = []
    for number in (1, 2):
        _, address = node_in_process_mode(federation, number)
        executors.append((superexec(federation, "clientapp", address, f"ex-{number}"), address))
    federation.await_nodes(2)
    run = federation.await_end(federation.submit(TINY, *quick()))
    assert run["status"] == "finished:completed"
    for executor, _ in executors:
        executor.kill()
    for number, (_, address) in enumerate(executors, start=1):
        superexec(federation, "clientapp", address, f"ex-{number}-again")

    run = federation.await_end(federation.submit(TINY, *quick()))

    assert run["status"] == "finished:completed"


@pytest.mark.row("S4", "S7")
def test_one_serverapp_process_per_run_each_reaped(federation: Federation) -> None:
    superlink = federation.start_superlink()
    federation.start_node(1)
    federation.start_node(2)
    federation.await_nodes(2)
    assert not events(superlink, "launched"), "no ServerApp before there is a run"

    runs = [federation.submit(TINY, *quick(marker=f"m{i}")) for i in range(3)]
    for run_id in runs:
        assert federation.await_end(run_id)["status"] == "finished:completed"

    eventually(lambda: len(events(superlink, "exited")) >= 3, timeout=60)
    eventually(lambda: not apps_below(superlink), timeout=60)
    eventually(lambda: not zombies_below(superlink), timeout=60)
    assert len(events(superlink, "launched")) == 3, "exactly three ServerApp processes"
    assert [line["exit_code"] for line in events(superlink, "exited")] == [0, 0, 0]


@pytest.mark.row("S5", "S8")
def test_one_clientapp_process_per_message_each_reaped(federation: Federation) -> None:
    federation.start_superlink()
    nodes = [federation.start_node(n) for n in (1, 2)]
    federation.await_nodes(2)

    runs = [federation.submit(TINY, *config(num_rounds=2, pause=0.5, marker=m)) for m in "ab"]
    for run_id in runs:
        assert federation.await_end(run_id)["status"] == "finished:completed"

    for node in nodes:
        asked = {line["message_id"] for line in events(node, "instruction-received")}
        eventually(
            lambda node=node, ids=asked: len(events(node, "exited")) >= len(ids),  # type: ignore[misc]
            timeout=60,
        )
        eventually(lambda node=node: not apps_below(node), timeout=60)  # type: ignore[misc]
        eventually(lambda node=node: not zombies_below(node), timeout=60)  # type: ignore[misc]
        launched, exited = events(node, "launched"), events(node, "exited")
        assert len(asked) == len(launched) == len({line["pid"] for line in launched})
        assert [line["exit_code"] for line in exited] == [0] * len(asked)
        assert {str(line["run_id"]) for line in launched} == set(runs)
        assert len(events(node, "template-ready")) == 1, "both runs are of one app"


@pytest.mark.row("S5", "S38")
def test_two_runs_share_the_nodes_at_the_same_time(federation: Federation) -> None:
    federation.start_superlink()
    federation.start_node(1)
    federation.start_node(2)
    federation.await_nodes(2)
    pace = {"num_rounds": 2, "evaluate": False}
    settings = [{"seed": 1, "size": 50, **pace}, {"seed": 2, "size": 80, **pace}]
    alone = []
    for setting in settings:
        run = federation.await_end(federation.submit(TINY, *config(**setting)))
        alone.append(digest_in(federation.log_of(run["run-id"])))

    gate = federation.root / "gate"
    together = [federation.submit(TINY, *config(**s, until=str(gate))) for s in settings]
    for run_id in together:
        federation.await_log(run_id, "[ROUND 1/")
    for run_id in together:  # both are in the middle of their first round
        assert federation.run_status(run_id)["status"] == "running"
    gate.touch()
    for run_id in together:
        federation.await_end(run_id)

    assert [digest_in(federation.log_of(run_id)) for run_id in together] == alone


def _json(line: str) -> dict[str, object]:
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
