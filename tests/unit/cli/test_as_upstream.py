"""Command lines written for upstream's command, and what has no counterpart here."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.control import FakeControl, some_run
from tests.unit.cli.conftest import HERE, Flwr
from tests.unit.fab import given


def test_default_is_upstreams_word_for_text(flwr: Flwr, control: FakeControl) -> None:
    control.runs = {7: some_run(7)}
    assert flwr("list", *HERE, "--format", "default").out == flwr("list", *HERE).out
    outcome = flwr("list", *HERE, "--format", "xml")
    assert outcome.code == 2
    assert "'xml' is neither text nor json" in outcome.err


@pytest.mark.parametrize("command", ["log 7", "list", "stop 7", "login", "pull 7"])
def test_federation_config_is_hidden_and_told_to_have_no_effect(
    flwr: Flwr, control: FakeControl, command: str
) -> None:
    control.runs = {7: some_run(7)}
    outcome = flwr(*command.split(), *HERE, "--federation-config", "num-supernodes=5")
    assert "Warning: --federation-config has no effect here" in outcome.err
    assert "--federation-config" not in flwr(*command.split()[:1], "-h").out
    assert flwr("supernode", "list", *HERE, "--federation-config", "x=1").code == 2


def test_an_address_of_artifacts_is_printed(flwr: Flwr, control: FakeControl) -> None:
    control.runs, control.artifacts = {7: some_run(7)}, "https://example.org/7?sig=x"
    assert flwr("pull", "7", *HERE).out == "https://example.org/7?sig=x\n"
    control.artifacts = ""
    assert (flwr("pull", "7", *HERE).code, flwr("pull", "0", *HERE).code) == (4, 2)
    control.artifacts = None
    refused = flwr("pull", "7", *HERE)
    assert refused.code == 6
    assert "does not support pulling artifacts" in refused.err


@pytest.mark.parametrize(
    ("words", "instead"),
    [("publish", "flwr build --app ."), ("review @a/b==1.0.0", "flwr install FILE.fab")],
)
def test_what_needs_the_hub_says_what_to_do_without(flwr: Flwr, words: str, instead: str) -> None:
    outcome = flwr("app", *words.split())
    assert outcome.code == 6
    assert "there is no hub" in outcome.err
    assert instead in outcome.err


def test_a_bundle_under_another_ones_name_is_not_installed(flwr: Flwr, tmp_path: Path) -> None:
    content = given.fab()
    for name, code in (("a.b.1-0-0.00000000.fab", 2), ("renamed.fab", 0)):
        (tmp_path / name).write_bytes(content)
        assert flwr("install", tmp_path / name).code == code


def test_a_bundle_that_is_not_named_is_asked_for_on_a_terminal(
    flwr: Flwr, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "some.fab").write_bytes(given.fab())
    monkeypatch.setattr("sys.stdin", io.StringIO("some.fab\n"))
    assert flwr("install").code == 2  # nobody is there to be asked
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    outcome = flwr("install")
    assert outcome.code == 0
    assert "Successfully installed acme/tiny-app" in outcome.out


def test_whoever_reads_only_the_beginning_ends_the_command_quietly(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    code = "import sys; from flwr.cli.main import main; main(sys.argv[1:])"
    command = [sys.executable, "-c", code, "config", "list"]
    env = {**os.environ, "FLWR_HOME": str(tmp_path)}
    done = subprocess.run(command, stdout=writer, stderr=subprocess.PIPE, env=env, check=False)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, b"")
