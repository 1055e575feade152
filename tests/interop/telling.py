"""The digits example, made to print the model of each round in full, for engines to be compared.

What is compared may differ by TOLERANCE of its size: in a deployment replies come in any order, so
sums of floats may differ in their last bits.
"""

import shutil
from pathlib import Path
from typing import Final

from tests.harness.apps import DIGITS

TOLERANCE: Final = 1e-6
_TELLING: Final = '''"""The rounds of server_app, which tells the model of each in full."""

import json

from . import server_app

measure = server_app.measure


def tell(model, held_out):
    print("model:", json.dumps([layer.tolist() for layer in model]), flush=True)
    return measure(model, held_out)


server_app.measure = tell
app = server_app.app
'''


def telling_digits(folder: Path) -> Path:
    """Return a copy of the example, which prints its models as the apps of this folder do."""
    copy = folder / "digits"
    shutil.copytree(DIGITS, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "digits" / "telling.py").write_text(_TELLING)
    project = copy / "pyproject.toml"
    project.write_text(project.read_text().replace("digits.server_app:app", "digits.telling:app"))
    return copy
