"""What a shell is offered at a TAB, in bash and in zsh."""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from flwr.cli import completion
from flwr.core.errors import UnavailableError
from flwr.core.run import RunStatus
from tests.fakes.control import FakeControl, some_node, some_run
from tests.unit.cli.conftest import HERE, Flwr

Press = Callable[..., list[str]]
HERE_TEXT = " ".join(HERE)


@pytest.fixture
def tab(flwr: Flwr, monkeypatch: pytest.MonkeyPatch) -> Press:
    """Press TAB after some words; return what bash is offered."""

    def press(line: str) -> list[str]:
        words = line.split(" ")
        monkeypatch.setenv("_FLWR_COMPLETE", "complete_bash")
        monkeypatch.setenv("COMP_WORDS", "\n".join(words))
        monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
        outcome = flwr()
        assert (outcome.code, outcome.err) == (0, "")
        return outcome.out.split()

    return press


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("flwr fed", ["federation"]),
        ("flwr federation invite re", ["reject", "revoke"]),
        ("flwr list --form", ["--format"]),
        ("flwr list --format ", ["text", "json"]),
        ("flwr new --template x", ["xgboost"]),
        ("flwr list lo", ["local"]),
        ("flwr list x", []),
    ],
)
def test_words_that_are_known_are_offered(tab: Press, line: str, offered: list[str]) -> None:
    assert tab(line) == offered


def test_ids_come_from_the_superlink_that_the_words_mean(tab: Press, control: FakeControl) -> None:
    control.runs = {n: some_run(n, RunStatus.COMPLETED) for n in (71, 72, 8)}
    control.nodes = [some_node(55)]
    assert tab(f"flwr log {HERE_TEXT} 7") == ["71", "72"]
    assert control.connections[-1].address == "127.0.0.1:9093"
    assert tab(f"flwr supernode unregister {HERE_TEXT} ") == ["55"]
    assert tab(f"flwr federation show {HERE_TEXT} @") == ["@none/default"]


def test_the_local_superlink_is_asked_and_never_started(
    tab: Press, control: FakeControl, tmp_path: Path
) -> None:
    control.runs = {71: some_run(71)}
    assert tab("flwr stop 7") == ["71"]
    assert control.connections[-1].address == "127.0.0.1:39093"
    assert not (tmp_path / "home").exists()


def test_what_cannot_be_asked_is_not_offered(
    tab: Press, control: FakeControl, tmp_path: Path
) -> None:
    control.failures = [UnavailableError("gone")]
    assert tab(f"flwr log {HERE_TEXT} ") == []
    (tmp_path / "pyproject.toml").write_text("no TOML")
    assert tab("flwr list ") == []
    assert tab("flwr log ") == []


def test_a_slow_superlink_is_not_waited_for(
    tab: Press, control: FakeControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = threading.Event()
    monkeypatch.setattr(completion, "_LIMIT_S", 0.01)
    control.runs, control.on_call = {71: some_run(71)}, answer.wait
    try:
        assert tab(f"flwr log {HERE_TEXT} ") == []
    finally:
        answer.set()


def test_zsh_is_told_what_a_word_means(
    flwr: Flwr, control: FakeControl, monkeypatch: pytest.MonkeyPatch
) -> None:
    control.runs = {71: some_run(71, RunStatus.COMPLETED)}
    monkeypatch.setenv("_FLWR_COMPLETE", "complete_zsh")
    monkeypatch.setenv("_TYPER_COMPLETE_ARGS", f"flwr log {HERE_TEXT} ")
    out = flwr().out
    assert '"71"' in out
    assert "finished" in out
    assert "@acme/tiny-app==1.2.3" in out


@pytest.mark.parametrize(("shell", "mark"), [("bash", "complete_bash"), ("zsh", "#compdef flwr")])
def test_the_script_for_a_shell_is_printed(
    flwr: Flwr, monkeypatch: pytest.MonkeyPatch, shell: str, mark: str
) -> None:
    monkeypatch.setattr("typer.completion._get_shell_name", lambda: shell)
    outcome = flwr("--show-completion")
    assert outcome.code == 0
    assert mark in outcome.out
    assert "_FLWR_COMPLETE" in outcome.out


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_the_script_is_installed_for_the_user(
    flwr: Flwr, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, shell: str
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("typer.completion._get_shell_name", lambda: shell)
    monkeypatch.setattr("typer._completion_shared._get_shell_name", lambda: shell, raising=False)
    assert flwr("--install-completion").code == 0
    written = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert any("_FLWR_COMPLETE" in path.read_text() for path in written)
    assert all(os.access(path, os.R_OK) for path in written)
