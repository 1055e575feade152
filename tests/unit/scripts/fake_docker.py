"""A docker command for tests: answers by the first words of its arguments, and notes them all."""

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

_PROGRAM = """\
#!{python} -IS
import json, sys
from pathlib import Path
here = Path(__file__).parent
given = " ".join(sys.argv[1:])
with (here / "calls").open("a") as calls:
    calls.write(given + "\\n")
answers = json.loads((here / "answers.json").read_text())
for words, answer in answers.items():
    if given.startswith(words) or (words[0] == "*" and words[1:] in f"{given} "):
        if answer is None:
            sys.exit("docker: refused")
        print(answer)
        break
"""


class FakeDocker:
    """Put in front of the real one by ``install``."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    def install(cls, folder: Path, patch: pytest.MonkeyPatch) -> "FakeDocker":
        program = folder / "docker"
        program.write_text(_PROGRAM.replace("{python}", sys.executable))
        program.chmod(0o755)
        patch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
        made = cls(folder)
        made.answer({})
        return made

    def answer(self, answers: Mapping[str, str | None]) -> None:
        """Set what it prints, by how the arguments begin; None: it fails.

        Words after an asterisk may be anywhere among the arguments.
        """
        (self._folder / "answers.json").write_text(json.dumps(answers))

    @property
    def calls(self) -> list[str]:
        """Arguments of each call so far."""
        path = self._folder / "calls"
        return path.read_text().splitlines() if path.exists() else []
