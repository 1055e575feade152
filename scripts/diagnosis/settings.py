"""compose/.env: lines that mean nothing, names that were mistyped, values that cannot be."""

import difflib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from scripts.diagnosis.findings import Result, finding, fine, skipped
from scripts.diagnosis.model import Model

MAX_NODES: Final = 16
_LINE: Final = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_]*)\s*=(.*)")
_USED: Final = re.compile(r"\$\{(FLWR_[A-Z0-9_]+)")
_NODE: Final = re.compile(r"FLWR_NODE_(\d+)_(\w+)")
_FOREIGN: Final = ("COMPOSE_", "DOCKER_", "BUILDKIT_", "BUILDX_")


def known_names(folder: Path) -> frozenset[str]:
    """Return every variable that the files of a deployment use or explain."""
    names: set[str] = set()
    example = folder / ".env.example"
    if example.is_file():
        lines = example.read_text("utf-8").splitlines()
        names |= {match[1] for line in lines if (match := _LINE.match(line))}
    for path in (*folder.glob("*.yaml"), *folder.glob("overlays/*.yaml")):
        names |= set(_USED.findall(path.read_text("utf-8")))
    kinds = {match[2] for name in names if (match := _NODE.fullmatch(name))}
    numbers = range(1, MAX_NODES + 1)
    return frozenset(names | {f"FLWR_NODE_{n}_{kind}" for n in numbers for kind in kinds})


def check_settings(folder: Path, env_file: Path | None) -> Iterator[Result]:
    """Read the file as Compose does, and name every line it would pass over in silence."""
    path = env_file or folder / ".env"
    if not path.is_file():
        yield fine("settings", f"{path} is not there: defaults count, and no node is started")
        return
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        yield finding("settings", f"{path} cannot be read: {error}", f"sudo chown $USER {path}")
        return
    results = list(_lines(path, lines, known_names(folder)))
    yield from results or [fine("settings", f"{path}: {len(lines)} lines, every name is known")]


def check_nodes(model: Model | None) -> Iterator[Result]:
    """FLWR_NODES and the nodes that Compose would really start."""
    if model is None:
        yield skipped("nodes", "Compose cannot resolve the deployment")
        return
    nodes = sorted(name for name in model.services if re.fullmatch(r"supernode-\d+", name))
    if not nodes:
        yield fine("nodes", "none on this host")
        return
    config = model.setting("supernode-1", "FLWR_SUPERNODE_NODE_CONFIG")
    told = re.search(r"num-partitions=(\d+)", config)
    # A data set that is dealt out to more nodes than there are loses parts without a word.
    is_dealt_here = told is not None and "superlink" in model.services
    if told is not None and is_dealt_here and int(told[1]) != len(nodes):
        yield finding(
            "nodes",
            f"{len(nodes)} of the {told[1]} nodes of FLWR_NODES would be started",
            "put COMPOSE_PROFILES=nodes-${FLWR_NODES} into compose/.env, FLWR_NODES from 1 to "
            f"{MAX_NODES}",
        )
        return
    yield fine("nodes", f"{len(nodes)} on this host")


def _lines(path: Path, lines: list[str], known: frozenset[str]) -> Iterator[Result]:
    given: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        where = f"{path}, line {number}"
        match = _LINE.fullmatch(line)
        if match is None:
            yield finding("settings", f"{where} is no NAME=value", f"sed -i {number}d {path}")
            continue
        name = match[1]
        if name in given:
            text = f"{where}: {name} is set already in line {given[name]}; this one counts"
            yield finding("settings", text, f"sed -i {given[name]}d {path}")
        given[name] = number
        if name not in known and not name.startswith(_FOREIGN):
            yield _unknown(where, name, known)
    if "FLWR_NODES" in given and not {"COMPOSE_PROFILES"} & {*given, *os.environ}:
        yield finding(
            "settings",
            f"{path}: FLWR_NODES starts no node without COMPOSE_PROFILES",
            f"echo 'COMPOSE_PROFILES=nodes-${{FLWR_NODES}}' >> {path}",
        )


def _unknown(where: str, name: str, known: frozenset[str]) -> Result:
    close = difflib.get_close_matches(name.upper(), sorted(known), n=1, cutoff=0.75)
    if close:
        return finding(
            "settings",
            f"{where}: nothing reads {name}",
            f"did you mean {close[0]}? compose/.env.example lists every name",
        )
    return finding(
        "settings",
        f"{where}: nothing reads {name}",
        "remove it; compose/.env.example lists every name",
    )
