"""Examples of the documentation, as programs that tests run."""

import re
from collections.abc import Mapping
from typing import Any, Final

from tests.harness.toolset import ROOT

_BLOCK: Final = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Page:
    """A page of docs/ and its Python examples, in order."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.examples: list[str] = _BLOCK.findall((ROOT / "docs" / name).read_text("utf-8"))

    def run(self, number: int, replaced: Mapping[str, str]) -> dict[str, Any]:
        """Run an example in the current folder and return its variables.

        Args:
            number: which, from 0.
            replaced: texts of the page by those of the test, such as addresses; all must occur.
        """
        code = self.examples[number]
        for ours, theirs in replaced.items():
            assert ours in code, f"{ours!r} is not in example {number} of {self.name}"
            code = code.replace(ours, theirs)
        names: dict[str, Any] = {"__name__": "__main__"}
        exec(compile(code, f"docs/{self.name}[{number}]", "exec"), names)  # noqa: S102 - our own page
        return names
