"""docs/schemas: what ``--format json`` prints, one file per command."""

import json
from functools import cache
from pathlib import Path
from typing import Any, Final

from jsonschema import Draft202012Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

FOLDER: Final = Path(__file__).parents[3] / "docs" / "schemas"
SHARED: Final = {"definitions", "error"}  # files that belong to no command


def file_of(command: str) -> str:
    """Return the name, without suffix, of a command's schema."""
    return command.replace(" ", "-")


def load(name: str) -> Any:
    """Return a schema."""
    return json.loads((FOLDER / f"{name}.json").read_text())


def names() -> set[str]:
    """Return the schemas there are."""
    return {path.stem for path in FOLDER.glob("*.json")}


@cache
def _checker(name: str) -> Any:
    resources = [(f"{each}.json", DRAFT202012.create_resource(load(each))) for each in names()]
    registry: Registry[Any] = Registry().with_resources(resources)
    return Draft202012Validator(load(name), registry=registry)


def require_valid(command: str, document: Any) -> None:
    """Fail, naming every difference, if ``command`` may not print ``document``."""
    found = _checker(file_of(command)).iter_errors(document)
    errors = [f"{list(e.path)}: {e.message}" for e in found]
    assert not errors, f"flwr {command}: {errors}\n{document}"
