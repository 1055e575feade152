"""The apps in ``tests/interop/apps``: on how many nodes they run, and how equal results must be."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

FOLDER: Final = Path(__file__).parent / "apps"


@dataclass(frozen=True)
class InteropApp:
    """An app written for upstream's package.

    Args:
        name: its folder.
        nodes: how many virtual nodes it runs on.
        tolerance: largest difference of two numbers, as a part of them; 0 means equal in every bit.
        reason: why results differ within the tolerance.
        config: overrides of its run configuration.
        equal_messages: in one process, where replies have an order, all that is sent and logged is
            equal in every byte.
        by_node_id: whom it asks, or in which order, follows from the ids of nodes; those are random
            in a deployment, so that two runs differ.
        other_words: log lines (parts of them) in which ours says the same in another way.
    """

    name: str
    nodes: int = 3
    tolerance: float = 0.0
    reason: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    equal_messages: bool = True
    by_node_id: bool = False
    other_words: tuple[str, ...] = ()

    @property
    def folder(self) -> Path:
        """Where its pyproject.toml is."""
        return FOLDER / self.name

    @property
    def description(self) -> str:
        """What it uses of the API, in its own words."""
        project = tomllib.loads((self.folder / "pyproject.toml").read_text())["project"]
        return str(project["description"])


_DP_WORDS: Final = ("clipped", "central DP noise", "adaptive clipping", "Received")
_ORDER: Final = "replies come in any order, and sums of floats depend on it"
_CLIPPING: Final = "norms and clipped updates are computed in another order"

APPS: Final = (
    InteropApp("analytics", nodes=5, by_node_id=True),
    InteropApp("best-model", 4, by_node_id=True),
    InteropApp("boosted-trees", 3, by_node_id=True),
    InteropApp(
        "client-side-privacy", 4, 1e-12, _CLIPPING, equal_messages=False, other_words=_DP_WORDS
    ),
    InteropApp("custom-strategy"),
    InteropApp("default-workflow", nodes=2, other_words=("clients returned", "returning")),
    InteropApp("failing-nodes", other_words=("No evaluate function",)),
    InteropApp("former-names", other_words=("WARNING",)),
    InteropApp("legacy-best-model", 4, 1e-12, _ORDER, equal_messages=False),
    InteropApp("lifespan-and-state"),
    InteropApp("mods-in-a-row", 3, 1e-12, _CLIPPING, other_words=_DP_WORDS),
    InteropApp("named-actions"),
    InteropApp("nested-config", config={"model.layers.hidden": 32, "verbose": True}),
    InteropApp("numpy-fedavg", nodes=2),
    InteropApp("own-strategy", nodes=2),
    InteropApp("properties-client", nodes=2),
    InteropApp("secure-aggregation", nodes=2, equal_messages=False),
    InteropApp(
        "server-side-privacy",
        4,
        2e-6,
        "norms of float32 models are computed in float64",
        equal_messages=False,
        other_words=_DP_WORDS,
    ),
    InteropApp(
        "strategies-in-turn",
        7,
        2e-6,
        "upstream's FedAdam and QFedAvg turn a float32 model into float64, ours stays float32",
        equal_messages=False,
        by_node_id=True,
    ),
)
