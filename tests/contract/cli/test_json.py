"""Whatever a command prints in JSON form, failures included, has the form of its schema."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from flwr.cli.main import IN_LINES
from flwr.core.errors import UnauthenticatedError
from tests.contract.cli import schemas
from tests.contract.cli.examples import EXAMPLES, Example, Scene
from tests.contract.cli.tree import commands, options
from tests.fakes.control import FakeControl
from tests.unit.cli.conftest import HERE, Flwr, Outcome

COMMANDS = [name for name, _ in commands()]
ASKING = [example for example in EXAMPLES if not example.is_offline]


def named(example: Example) -> str:
    return f"{example.command} {example.words}".strip()


def words_of(example: Example) -> list[str]:
    target = () if example.is_offline else HERE[:2] if example.command == "login" else HERE
    words = [*example.command.split(), *example.words.split()]
    return [*words, *target, "--format", "json"]


def documents_of(command: str, outcome: Outcome) -> list[Any]:
    """Return what was printed: one document, or one a line."""
    texts = outcome.out.splitlines() if command in IN_LINES else [outcome.out]
    assert texts
    return [json.loads(text) for text in texts]


@pytest.mark.row("S61")
def test_every_command_has_a_json_form_a_schema_and_an_example() -> None:
    assert {name for name, found in commands() if "--format" not in options(found)} == set()
    assert schemas.names() == {schemas.file_of(name) for name in COMMANDS} | schemas.SHARED
    assert {example.command for example in EXAMPLES} == set(COMMANDS)


@pytest.mark.parametrize("name", sorted(schemas.names()))
def test_every_schema_is_one(name: str) -> None:
    Draft202012Validator.check_schema(schemas.load(name))


@pytest.mark.parametrize("example", EXAMPLES, ids=named)
def test_a_result_has_the_form_of_the_commands_schema(
    example: Example, flwr: Flwr, control: FakeControl, tmp_path: Path
) -> None:
    example.prepare(Scene(control, tmp_path))

    outcome = flwr(*words_of(example))

    assert outcome.code == example.code, outcome
    documents = documents_of(example.command, outcome)
    assert len(documents) == 1 or example.command in IN_LINES
    for document in documents:
        schemas.require_valid(example.command, document)
        assert document.get("success", True) == (example.code == 0)


@pytest.mark.parametrize("command", sorted({example.command for example in ASKING}))
def test_a_refusal_has_the_form_of_the_schema_and_its_exit_code(
    command: str, flwr: Flwr, control: FakeControl, tmp_path: Path
) -> None:
    example = next(each for each in ASKING if each.command == command)
    example.prepare(Scene(control, tmp_path))
    control.failures = [UnauthenticatedError("who are you")]

    outcome = flwr(*words_of(example))

    assert outcome.code == 5, outcome
    (document,) = documents_of(command, outcome)
    schemas.require_valid(command, document)
    assert document == {
        "success": False,
        "error-message": "who are you",
        "hint": "log in first: flwr login --superlink 127.0.0.1:9093",
    }


@pytest.mark.parametrize("command", COMMANDS)
def test_a_wrong_command_line_has_the_form_of_the_schema(command: str, flwr: Flwr) -> None:
    outcome = flwr(*command.split(), "--nonsense", "--format", "json")

    assert outcome.code == 2
    (document,) = documents_of(command, outcome)
    schemas.require_valid(command, document)
    assert "--nonsense" in document["error-message"]


def test_a_bug_is_told_in_json_form_and_with_its_traceback(
    flwr: Flwr, control: FakeControl
) -> None:
    control.failures = [ZeroDivisionError("division by zero")]  # type: ignore[list-item]

    outcome = flwr("list", *HERE, "--format", "json")

    assert outcome.code == 1
    assert outcome.document["error-message"].startswith("a bug of flwr: ZeroDivisionError")
    assert "Traceback" in outcome.err
