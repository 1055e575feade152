"""Tables on terminals of several widths."""

import sys

import pytest
from rich.console import Console

from flwr.cli import tables
from flwr.control.terminal import printable
from tests.fakes.control import FakeControl, some_node, some_run
from tests.unit.cli.conftest import HERE, Flwr

LONG = 2**64 - 1


@pytest.fixture
def width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")


@pytest.mark.usefixtures("width")
def test_on_80_columns_ids_and_statuses_stay_whole(
    flwr: Flwr, control: FakeControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("NO_COLOR", "1")
    control.runs = {LONG: some_run(LONG), LONG - 1: some_run(LONG - 1)}
    lines = printable(flwr("list", *HERE).out).splitlines()

    assert max(map(len, lines)) <= 80
    assert sum(str(LONG) in line and "running" in line for line in lines) == 1
    assert lines[-1] == "Federation: @none/default"
    assert not any("Federation " in line for line in lines[:-1])


def test_in_a_pipe_a_row_is_a_line(flwr: Flwr, control: FakeControl) -> None:
    control.runs = {LONG: some_run(LONG)}
    control.nodes = [some_node(LONG)]
    runs, nodes = flwr("list", *HERE).out, flwr("supernode", "list", *HERE).out
    assert len(runs.splitlines()) == len(nodes.splitlines()) == 3
    assert "@none/default" in runs
    assert "\x1b" not in runs + nodes


def test_an_empty_list_says_so(flwr: Flwr) -> None:
    assert flwr("list", *HERE).out == "No runs yet.\n"
    assert flwr("supernode", "list", *HERE).out == "No SuperNodes.\n"
    assert flwr("list", *HERE, "--format", "json").document["runs"] == []


@pytest.mark.usefixtures("width")
def test_no_color_is_heeded(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Console(file=sys.stdout).is_terminal
    assert tables.wants_colours()
    monkeypatch.setenv("NO_COLOR", "1")
    assert not tables.wants_colours()
