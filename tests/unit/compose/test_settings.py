"""Every tunable is explained once, and what is explained is what happens without it."""

import re
import tomllib

import pytest

from tests.harness.toolset import ROOT
from tests.unit.compose.files import COMPOSE, EXAMPLE, FILES, NODE, load, references, settings

# What the example chooses, rather than repeats: a federation of three.
CHOSEN = {"FLWR_NODES"}
# Read by Compose itself.
COMPOSES_OWN = {"COMPOSE_FILE", "COMPOSE_PROFILES"}


def used() -> dict[str, set[str | None]]:
    """Return every variable of the files with its defaults, nodes as if all were node 1."""
    found: dict[str, set[str | None]] = {}
    for path in FILES:
        for name, default in references(path.read_text("utf-8")):
            if not NODE.match(name) or name.startswith("FLWR_NODE_1_"):
                found.setdefault(name, set()).add(default)
    return found


def test_the_example_holds_every_variable_and_no_other() -> None:
    assert set(settings()) - COMPOSES_OWN == set(used())


@pytest.mark.parametrize("name", sorted(set(used()) - CHOSEN))
def test_a_default_is_the_same_wherever_it_is_written(name: str) -> None:
    defaults = used()[name]
    assert len(defaults) == 1, f"{name} has different defaults: {defaults}"
    default, shown = defaults.pop(), settings()[name]
    if shown == "":  # spelled out in the example: ${FLWR_REGISTRY}/ROLE:${FLWR_VERSION}
        assert default is None or default == "" or default.startswith("${FLWR_REGISTRY")
    else:
        assert re.sub(r":-[^}]*", "", default or "") == shown


def test_every_value_of_the_example_has_a_comment_above_its_group() -> None:
    explained = False
    for line in EXAMPLE.read_text("utf-8").splitlines():
        if line.startswith("#"):
            explained = True
        elif line == "":
            explained = False
        else:
            assert explained, f"nobody explains {line}"


def test_nothing_is_there_to_be_uncommented() -> None:
    for path in (*FILES, EXAMPLE):
        for line in path.read_text("utf-8").splitlines():
            assert not re.match(r"\s*# ?(- \S|[A-Z_]+=|[a-z_]+:$)", line), f"{path}: {line}"


def test_the_version_is_the_packages() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert settings()["FLWR_VERSION"] == version
    assert used()["FLWR_VERSION"] == {version}


def test_a_stopped_executor_is_killed_after_its_drain_only() -> None:
    assert (
        int(settings()["FLWR_APP_STOP_GRACE"].removesuffix("s"))
        >= int(settings()["FLWR_DRAIN"]) + 12
    )


def test_published_ports_arrive_where_control_listens() -> None:
    """The engine leads them to the network whose name sorts first among those with a way out."""
    networks = load(COMPOSE / "server.yaml")["networks"]
    open_ones = [name for name, spec in networks.items() if not (spec or {}).get("internal")]
    assert min(open_ones) == "control"
