"""The apps in ``examples/``, and what each must have learned on ten nodes or on three.

Every example ends with a line ``Result: ...`` in which numbers follow their names. The bounds tell
learning from none: untrained, each app misses them by far (``test_examples.py`` of the simulation).
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.harness.toolset import ROOT

Found = Mapping[str, float]
_RESULT: Final = re.compile(r"^Result: (.*)$", re.MULTILINE)
_NUMBER: Final = re.compile(r"(\w+) (-?\d+(?:\.\d+)?)")


@dataclass(frozen=True)
class Example:
    """One app: how tests run it, and when it has learned.

    Args:
        name: its folder.
        has_learned: tells it from the numbers of the result.
        needs: the module, beyond scikit-learn, that it imports.
        config: overrides that shorten it.
        untrained: overrides after which it must not have learned.
    """

    name: str
    has_learned: Callable[[Found], bool]
    needs: str = "sklearn"
    config: Mapping[str, float] = field(default_factory=dict)
    untrained: Mapping[str, float] = field(
        default_factory=lambda: {"learning-rate": 0.0, "num-server-rounds": 2}
    )

    @property
    def folder(self) -> Path:
        """Where its pyproject.toml is."""
        return ROOT / "examples" / self.name


EXAMPLES: Final = (
    Example(
        "logistic-regression",
        lambda r: (
            r["federated"] > max(0.95, r["constant"] + 0.25)
            and abs(r["federated"] - r["central"]) < 0.03
        ),
    ),
    Example(
        "sklearn-mlp",
        lambda r: r["federated"] > 0.8 and r["federated"] > r["alone"] + 0.35,
        config={"num-server-rounds": 12},
        untrained={"learning-rate": 1e-6, "num-server-rounds": 2},  # scikit-learn refuses 0
    ),
    Example(
        "xgboost-bagging",
        lambda r: (
            r["federated"] > max(0.3, r["alone"] - 0.05)
            and abs(r["federated"] - r["central"]) < 0.08
        ),
        needs="xgboost",
        config={"num-server-rounds": 12},
    ),
    Example(
        "federated-analytics",
        lambda r: (
            r["wines"] == r["of"] == 178
            and max(r["mean"], r["spread"]) < 1e-4
            and r["quartiles"] < 1e-3
        ),
        untrained={"bisections": 2},
    ),
    Example(
        "pytorch-cnn",
        lambda r: r["federated"] > 0.93 and r["central"] > 0.93,
        needs="torch",
    ),
)
BY_NAME: Final = {example.name: example for example in EXAMPLES}


def result_in(output: str) -> Found:
    """Return the numbers of the result by name."""
    found = _RESULT.findall(output)
    assert len(found) == 1, f"{len(found)} results in:\n{output[-3000:]}"
    return {name: float(number) for name, number in _NUMBER.findall(found[0])}
