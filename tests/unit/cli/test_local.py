"""The federation behind ``:local:``, with stand-ins for the daemons."""

import os
import signal
import socket
import stat
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from flwr.cli.environment import Environment
from flwr.cli.local_processes import is_alive, load_record, started_at, stop_processes
from flwr.cli.local_superlink import RECORD, LocalStartError, ensure_local
from flwr.cli.main import main
from flwr.cli.report import Output, Report
from flwr.control.connection import Connection
from flwr.core.simulation import SimulationConfig
from tests.harness.ports import free_port

LISTENER = """\
import socket, sys
host, port = sys.argv[sys.argv.index("--control-api-address") + 1].split(":")
server = socket.create_server((host, int(port)))
while True:
    server.accept()[0].close()
"""
SLEEPER = """\
import signal, sys
print(*sys.argv[1:], flush=True)
signal.pause()
"""
BROKEN = "import sys\nsys.exit('no such file: state.db')\n"
LOCAL = Connection(name="local", address=":local:", source="test")


def program(folder: Path, name: str, source: str) -> None:
    path = folder / name
    path.write_text(f"#!{sys.executable}\n{source}")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def here(environment: Environment, tmp_path: Path) -> Iterator[Environment]:
    folder = tmp_path / "programs"
    folder.mkdir()
    program(folder, "flower-superlink", LISTENER)
    program(folder, "flower-supernode", SLEEPER)
    made = replace(
        environment,
        local_control_port=free_port(),
        pause=time.sleep,
        program=lambda name: str(folder / name),
    )
    yield made
    if record := load_record(made.local_dir / RECORD):
        stop_processes(record, time.sleep)


def ensure(here: Environment, connection: Connection = LOCAL) -> Connection:
    return ensure_local(here, Report(Output.TEXT), connection)


def names(here: Environment) -> list[str]:
    record = load_record(here.local_dir / RECORD)
    assert record is not None
    return [process.name for process in record.processes if is_alive(process)]


def wait_for(path: Path) -> str:
    deadline = time.monotonic() + 60
    while not path.is_file() or not path.read_text().endswith("\n"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return path.read_text()


def test_a_superlink_and_two_nodes_are_started_and_told(
    here: Environment, capsys: pytest.CaptureFixture[str]
) -> None:
    connection = ensure(here)

    assert connection.address == f"127.0.0.1:{here.local_control_port}"
    assert names(here) == ["superlink", "supernode-0", "supernode-1"]
    told = capsys.readouterr().err
    assert f"Starting local SuperLink on 127.0.0.1:{here.local_control_port}\n" in told
    assert "flwr local stop" in told
    arguments = wait_for(here.local_dir / "supernode-1.log")
    assert "--node-config partition-id=1 num-partitions=2" in arguments
    assert "--insecure" in arguments


def test_a_running_federation_is_used_as_it_is(here: Environment) -> None:
    ensure(here)
    before = load_record(here.local_dir / RECORD)
    ensure(here)
    assert load_record(here.local_dir / RECORD) == before


def test_a_node_that_died_is_started_again(here: Environment) -> None:
    ensure(here)
    record = load_record(here.local_dir / RECORD)
    assert record is not None
    os.kill(record.processes[1].pid, signal.SIGKILL)
    os.waitpid(record.processes[1].pid, 0)
    assert names(here) == ["superlink", "supernode-1"]

    ensure(here)

    assert sorted(names(here)) == ["superlink", "supernode-0", "supernode-1"]


def test_the_number_of_nodes_is_an_option_and_stays_until_stopped(
    here: Environment, capsys: pytest.CaptureFixture[str]
) -> None:
    ensure(here, replace(LOCAL, options=SimulationConfig(num_supernodes=1)))
    assert names(here) == ["superlink", "supernode-0"]
    ensure(here, replace(LOCAL, options=SimulationConfig(num_supernodes=3)))
    assert names(here) == ["superlink", "supernode-0"]
    assert "runs with 1 SuperNodes, not 3" in capsys.readouterr().err


def test_a_stranger_on_the_port_is_used_and_nothing_is_started(here: Environment) -> None:
    with socket.create_server(("127.0.0.1", here.local_control_port)):
        ensure(here)
    assert load_record(here.local_dir / RECORD) is None


def test_a_superlink_that_ends_at_once_is_told_with_its_log(here: Environment) -> None:
    program(Path(here.program("")), "flower-superlink", BROKEN)
    with pytest.raises(LocalStartError, match=r"no such file: state\.db") as caught:
        ensure(here)
    assert str(here.local_dir / "superlink.log") in caught.value.hint


def test_stopping_ends_every_daemon(here: Environment, capsys: pytest.CaptureFixture[str]) -> None:
    ensure(here)
    record = load_record(here.local_dir / RECORD)
    assert record is not None
    for command in (["local", "status"], ["local", "stop"], ["local", "stop"]):
        with pytest.raises(SystemExit) as end:
            main(command, here)
        assert not end.value.code

    out = capsys.readouterr().out
    assert "Stopped superlink, supernode-0, supernode-1.\n" in out
    assert "No local federation is running.\n" in out
    assert not any(is_alive(process) for process in record.processes)


def test_a_reused_process_id_is_not_taken_for_a_daemon(here: Environment) -> None:
    ensure(here)
    record = load_record(here.local_dir / RECORD)
    assert record is not None
    mine = replace(record.processes[0], pid=os.getpid())
    assert started_at(os.getpid()) != mine.started
    assert stop_processes(replace(record, processes=(mine,)), time.sleep) == []


@pytest.mark.parametrize("text", ["", "{}", "[]", "3", '{"processes": [{"pid": 1}]}'])
def test_an_unreadable_record_counts_as_none(tmp_path: Path, text: str) -> None:
    (tmp_path / RECORD).write_text(text)
    assert load_record(tmp_path / RECORD) is None
