"""Steps of a long job: what a terminal and a log show, and what remains of a failure."""

import io
import sys
from pathlib import Path

import pytest
from scripts.progress import Progress, StepError

SAY_AND_FAIL = "import sys; print('first'); print('the cause'); sys.exit(3)"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_log_names_each_step_and_its_time(tmp_path: Path) -> None:
    out = io.StringIO()
    progress = Progress(2, tmp_path, out)

    with progress.step("engine") as step:
        step.note("there already")
    with progress.step("run", streams=True):
        out.write("      a line\n")

    lines = out.getvalue().splitlines()
    assert lines[0] == "[1/2] engine"
    assert lines[1].endswith("s  there already")
    assert lines[2:] == ["[2/2] run", "      a line"]
    assert list(progress.times) == ["engine", "run"]


def test_a_terminal_sees_one_line_that_changes(tmp_path: Path) -> None:
    out = Terminal()
    progress = Progress(1, tmp_path, out)

    with progress.step("images") as step:
        step.run("build", [sys.executable, "-c", "print('layer 7')"])
        step.note("done")

    assert out.getvalue().count("\n") == 1
    assert out.getvalue().endswith("done\n")


def test_a_command_returns_what_it_printed_without_escapes(tmp_path: Path) -> None:
    progress = Progress(1, tmp_path, io.StringIO())
    with progress.step("x") as step:
        said = step.run("say", [sys.executable, "-c", r"print('\x1b[2Kone\rtwo')"])
    assert said == "one\ntwo"
    assert (tmp_path / "say.log").exists()


def test_a_failed_command_shows_its_end_and_where_the_rest_is(tmp_path: Path) -> None:
    progress = Progress(1, tmp_path, io.StringIO())
    with pytest.raises(StepError) as caught, progress.step("x") as step:
        step.run("build", [sys.executable, "-c", SAY_AND_FAIL])
    assert "build failed" in str(caught.value)
    assert "the cause" in str(caught.value)
    assert str(tmp_path / "build.log") in str(caught.value)


def test_a_command_that_is_not_there_is_an_error_of_one_line(tmp_path: Path) -> None:
    progress = Progress(1, tmp_path, io.StringIO())
    with pytest.raises(StepError, match="no-such-program cannot be started"):
        progress.run("x", ["no-such-program"])
