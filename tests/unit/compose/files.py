"""The compose files as text and as YAML, without an engine."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from tests.harness.toolset import ROOT

COMPOSE: Final = ROOT / "compose"
EXAMPLE: Final = COMPOSE / ".env.example"
FILES: Final = (*sorted(COMPOSE.glob("[!.]*.yaml")), *sorted((COMPOSE / "overlays").glob("*.yaml")))
OVERLAYS: Final = {p.stem: p for p in FILES if p.parent.name == "overlays"}
NODE: Final = re.compile(r"FLWR_NODE_\d+_")


class _Loader(yaml.SafeLoader):
    """Reads Compose's own tags as what they stand on."""


def _untagged(loader: yaml.SafeLoader, _suffix: str, node: yaml.Node) -> Any:
    if isinstance(node, yaml.SequenceNode):
        return loader.construct_sequence(node)
    if isinstance(node, yaml.MappingNode):
        return loader.construct_mapping(node)
    return None


_Loader.add_multi_constructor("!", _untagged)


def load(path: Path) -> Any:
    """Return the document in a compose file."""
    return yaml.load(path.read_text("utf-8"), _Loader)  # noqa: S506 - derived from SafeLoader


def settings(path: Path = EXAMPLE) -> dict[str, str]:
    """Return what a settings file sets, as written."""
    lines = (line for line in path.read_text("utf-8").splitlines() if line[:1] not in {"", "#"})
    return dict(line.split("=", 1) for line in lines)


def references(text: str) -> Iterator[tuple[str, str | None]]:
    """Yield each variable that a text refers to, with its default; also those inside defaults."""
    for found in re.finditer(r"\$\{([A-Z_0-9]+)(:-)?", text):
        if found[2] is None:
            yield found[1], None
            continue
        depth, at = 1, found.end()
        while depth:
            depth += {"{": 1, "}": -1}.get(text[at], 0)
            at += 1
        yield found[1], text[found.end() : at - 1]
