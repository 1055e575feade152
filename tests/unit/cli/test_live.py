"""A followed run on a terminal: its log, and one line that tells where it stands."""

import io
from collections.abc import Iterator
from datetime import timedelta

import pytest
from rich.console import Console

from flwr.cli import live
from flwr.cli.live import Progress
from flwr.control.api import Control
from flwr.core.ids import RunId
from flwr.core.run import RunStatus
from tests.fakes.clock import FakeClock
from tests.fakes.control import FakeControl, some_run
from tests.unit.cli.conftest import HERE, Flwr


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """Stand in for the user's terminal."""
    text = io.StringIO()
    console = Console(file=text, force_terminal=True, width=60, color_system="standard")
    monkeypatch.setattr(live, "_terminal", lambda: console)
    return text


def test_the_line_tells_status_round_and_time() -> None:
    clock = FakeClock()
    progress = Progress(RunId(7), clock)
    assert progress.line() == "run 7 · pending · 0s"

    progress.see_run(some_run(7, RunStatus.PENDING, "no SuperExec is\x1b[2J connected"))
    assert progress.line() == "run 7 · pending: no SuperExec is connected · 0s"

    clock.advance(timedelta(seconds=100))
    progress.see_run(some_run(7, RunStatus.RUNNING))
    progress.see_log("INFO :  [ROUND 1/3]\nINFO :  [ROUND 2/3]\n")
    assert progress.line() == "run 7 · running · round 2/3 · 1m 40s"
    progress.see_log(
        "INFO :  Simulation: round 2/3 · 340/1000 clients · 512 clients/s · 3 failed\n"
    )
    clients = "340/1000 clients · 512 clients/s · 3 failed"
    assert progress.line() == f"run 7 · running · round 2/3 · {clients} · 1m 40s"

    progress.see_log("[ROUND 3]\n")  # the legacy loop names no number of rounds
    progress.see_run(some_run(7, RunStatus.PENDING))  # asked before the log said more
    assert progress.line() == "run 7 · running · round 3 · 1m 40s"


@pytest.mark.row("S62")
def test_on_a_terminal_the_log_stands_above_the_line(
    flwr: Flwr, control: FakeControl, screen: io.StringIO
) -> None:
    control.runs = {7: some_run(7)}
    control.chunks = [
        ("[ROU", 0.5),
        ("ND 1/2]\nbeg", 1.0),
        ("un\n\x1b]0;owned\x07e", 2.0),
        ("nd", 3.0),
    ]

    assert flwr("log", "7", *HERE).code == 0

    shown = screen.getvalue()
    for line in ("[ROUND 1/2]\n", "begun\n", "end\n"):
        assert line in shown
    assert "run 7 · running · round 1/2" in shown
    assert "owned" not in shown
    assert shown.endswith("\x1b[2K")  # nothing of the line is left


@pytest.mark.row("S57")
def test_waiting_shows_the_line_alone(
    flwr: Flwr, app: str, control: FakeControl, screen: io.StringIO
) -> None:
    control.chunks = [("secret\n", 1.0)]
    assert flwr("run", app, *HERE, "--wait").code == 0
    assert "run 7 · " in screen.getvalue()
    assert "secret" not in screen.getvalue()


def test_in_a_pipe_there_is_the_log_alone(flwr: Flwr, control: FakeControl) -> None:
    control.runs, control.chunks = {7: some_run(7)}, [("one\n", 1.0)]
    outcome = flwr("log", "7", *HERE)
    assert (outcome.out, outcome.err) == ("one\n", "")


def test_who_interrupts_is_told_that_the_run_goes_on(
    flwr: Flwr, control: FakeControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> Iterator[tuple[str, float]]:
        yield "one\n", 1.0
        raise KeyboardInterrupt

    control.runs = {7: some_run(7)}
    monkeypatch.setattr(control, "stream_logs", interrupted)

    outcome = flwr("log", "7", *HERE)
    assert (outcome.code, outcome.out) == (130, "one\n")
    assert "Run 7 goes on.  Follow it: flwr log 7   End it: flwr stop 7" in outcome.err

    documents = flwr("log", "7", *HERE, "--format", "json").out.splitlines()
    assert documents[-1] == '{"success": false, "error-message": "interrupted"}'


def test_a_superlink_that_is_away_ends_the_look_not_the_following(control: FakeControl) -> None:
    progress = Progress(RunId(9), FakeClock())
    looked: Control = control
    with live._looking(looked, RunId(9), progress):
        pass
    assert progress.line() == "run 9 · pending · 0s"
