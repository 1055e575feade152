"""What holds for every compose file, whoever edits it: confinement, names, what programs know."""

import importlib
from pathlib import Path
from typing import Any

import pytest

from flwr.core.lease import AppKind
from flwr.runner.config import settings_of
from flwr.shell.settings import Setting
from tests.unit.compose.files import COMPOSE, FILES, OVERLAYS, load

ROLES = load(COMPOSE / "roles.yaml")["services"]
SERVER = {"superlink", "serverapp", "simulation", "ray-head", "ray-worker", "cli", "postgres"}


def program_settings(prefix: str) -> set[str]:
    """Return the environment variables that a program reads."""
    rows: tuple[Setting, ...]
    if prefix in {"FLWR_SERVERAPP", "FLWR_CLIENTAPP"}:
        rows = settings_of(AppKind(prefix.removeprefix("FLWR_").lower()))
    else:
        module = prefix.removeprefix("FLWR_").lower()
        rows = importlib.import_module(f"flwr.{module}.config").SETTINGS
    names = {row.env_name(prefix) for row in rows}
    return names | {f"{name}_FILE" for name in names}


def environments() -> list[tuple[str, str]]:
    """Return file and variable of everything our programs are told."""
    found = []
    for path in FILES:
        for spec in (load(path).get("services") or {}).values():
            found += [(path.name, name) for name in spec.get("environment") or {}]
    return sorted({(file, name) for file, name in found if name.startswith("FLWR_")})


@pytest.mark.parametrize(("file", "name"), environments())
def test_programs_know_what_they_are_told(file: str, name: str) -> None:
    if name == "FLWR_HOME":
        return
    prefix = "_".join(name.split("_")[:2])
    assert name in program_settings(prefix)


@pytest.mark.parametrize("role", sorted(ROLES))
def test_every_role_is_confined_and_limited(role: str) -> None:
    spec: dict[str, Any] = ROLES[role]
    assert spec["read_only"] is True
    assert spec["cap_drop"] == ["ALL"]
    assert spec["security_opt"] == ["no-new-privileges:true"]
    assert spec["user"] in {"10001:10001", "${FLWR_POSTGRES_USER:-10001:10001}"}
    assert spec["init"] is True
    assert {"mem_limit", "cpus", "pids_limit"} <= set(spec)
    assert all("size=" in mount for mount in spec["tmpfs"])
    assert set(spec["logging"]["options"]) == {"max-size", "max-file"}


@pytest.mark.parametrize("role", sorted(set(ROLES) - {"cli"}))
def test_what_stays_up_says_that_it_is_healthy_soon(role: str) -> None:
    assert ROLES[role]["healthcheck"]["start_interval"] == "250ms"
    assert ROLES[role]["restart"] == "unless-stopped"
    assert "stop_grace_period" in ROLES[role]


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_two_federations_fit_on_one_host(path: Path) -> None:
    text = path.read_text("utf-8")
    assert "container_name:" not in text
    if path.parent == COMPOSE and path.name != "roles.yaml":
        assert load(path)["name"] == "${FLWR_FEDERATION:-flwr}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_no_container_gets_at_the_engine_or_the_host(path: Path) -> None:
    text = path.read_text("utf-8")
    for word in ("docker.sock", "privileged", "cap_add", "network_mode", "pid:", "ipc:"):
        assert word not in text


def test_only_fleet_and_control_are_published() -> None:
    ports = {
        (service, port["target"])
        for path in FILES
        for service, spec in (load(path).get("services") or {}).items()
        for port in spec.get("ports", [])
    }
    assert ports == {("superlink", 9092), ("superlink", 9093)}


@pytest.mark.parametrize("name", sorted(OVERLAYS))
def test_an_overlay_touches_its_own_side_only(name: str) -> None:
    """So that every combination of both sides is valid when every combination of each is."""
    touched = set(load(OVERLAYS[name])["services"])
    if name.endswith(".server"):
        assert touched <= SERVER
    else:
        assert not touched & SERVER


@pytest.mark.parametrize("name", sorted(OVERLAYS))
def test_overlays_mean_the_same_in_any_order(name: str) -> None:
    """Compose 2.26 loses a !reset of a variable, and !override drops what came before it."""
    text = OVERLAYS[name].read_text("utf-8")
    assert "!reset" not in text
    assert all("!override" not in line or "tmpfs:" in line for line in text.splitlines())
