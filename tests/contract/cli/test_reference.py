"""docs/cli-reference.md says what the programs say; docs/cli.md names what holds for them."""

from pathlib import Path

import pytest
from scripts import cli_reference

from flwr.shell.exits import ExitCode
from tests.contract.cli.tree import commands

DOCS = Path(__file__).parents[3] / "docs"


def test_the_page_is_what_the_programs_say() -> None:
    assert cli_reference.main(["--check"]) == 0, "run: make cli-docs"


def test_the_page_names_every_command_and_daemon() -> None:
    text = cli_reference.PAGE.read_text()
    assert all(f"### `flwr {name}`" in text for name, _ in commands())
    assert all(f"### `{daemon.program}`" in text for daemon in cli_reference.DAEMONS)


@pytest.mark.parametrize("code", list(ExitCode))
def test_every_exit_code_is_explained(code: ExitCode) -> None:
    assert f"\n| {code.value} | " in (DOCS / "cli.md").read_text()


def test_every_command_stands_in_the_overview() -> None:
    text = (DOCS / "cli.md").read_text()
    for name, _ in commands():
        group, _, word = name.rpartition(" ")
        assert f"`flwr {group or name}" in text
        assert word in text
