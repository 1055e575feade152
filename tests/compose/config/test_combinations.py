"""Overlays may be combined freely: nothing they were not made for changes."""

from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import pytest
from images.inputs import local_image
from python_on_whales import DockerClient

from tests.harness.toolset import ROOT

COMPOSE: Final = ROOT / "compose"
SERVER: Final = ("gpu.server", "postgres.server", "subprocess.server", "without-tls.server")
SITE: Final = ("gpu.site", "subprocess.site", "without-tls.site")
FEATURES: Final = {
    "gpu": ("gpu.server", "gpu.site"),
    "postgres": ("postgres.server",),
    "subprocess": ("subprocess.server", "subprocess.site"),
    "without-tls": ("without-tls.server", "without-tls.site"),
}
EXECUTORS: Final = ("serverapp", "clientapp")

pytestmark = pytest.mark.row("S54")


def subsets(names: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for size in range(len(names) + 1):
        yield from combinations(names, size)


def together(features: Sequence[str]) -> tuple[str, ...]:
    return tuple(overlay for feature in features for overlay in FEATURES[feature])


# Overlays of one side never touch the other's services (tests/unit/compose), so these are all.
COMBINATIONS: Final = (
    *(("server.yaml", chosen) for chosen in subsets(SERVER)),
    *(("site.yaml", chosen) for chosen in subsets(SITE)),
    *(("compose.yaml", together(chosen)) for chosen in subsets(tuple(FEATURES))),
)


def model(base: str, overlays: Sequence[str], settings: Path) -> dict[str, Any]:
    """Return what Compose makes of the files."""
    files = [COMPOSE / base, *(COMPOSE / "overlays" / f"{name}.yaml" for name in overlays)]
    client = DockerClient(compose_files=list(files), compose_env_files=[settings])
    found = client.compose.config(return_json=True)
    assert isinstance(found, dict)
    return found


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return settings as an operator has them: a copy of the example."""
    path = tmp_path_factory.mktemp("settings") / "federation.env"
    path.write_text((COMPOSE / ".env.example").read_text("utf-8"), "utf-8")
    return path


@pytest.mark.parametrize(
    ("base", "overlays"), COMBINATIONS, ids=["+".join((b, *c)) for b, c in COMBINATIONS]
)
def test_every_combination_of_overlays_holds(
    base: str, overlays: tuple[str, ...], settings: Path
) -> None:
    found = model(base, overlays, settings)

    services = found["services"]
    names = {name.rpartition("-")[0] or name for name in services}
    assert names == expected_services(base, overlays)
    for name, spec in services.items():
        check_confinement(name, spec)
        check_tls(name, spec, without=any(o.startswith("without-tls") for o in overlays))
        check_isolation(name, spec, overlays)
    if base != "compose.yaml" or len(overlays) == len(SERVER + SITE):  # it takes a second there
        assert model(base, overlays[::-1], settings) == found


@pytest.mark.row("S78")
def test_the_profile_simulation_takes_the_place_of_the_nodes(settings: Path) -> None:
    client = DockerClient(
        compose_files=[COMPOSE / "compose.yaml"],
        compose_env_files=[settings],
        compose_profiles=["simulation"],
    )
    found = client.compose.config(return_json=True)
    assert isinstance(found, dict)
    assert set(found["services"]) == {"superlink", "serverapp", "simulation"}


def expected_services(base: str, overlays: Sequence[str]) -> set[str]:
    server = {"superlink", "serverapp"} | ({"postgres"} & {o.split(".")[0] for o in overlays})
    site = {"supernode", "clientapp"}
    return {"server.yaml": server, "site.yaml": site, "compose.yaml": server | site}[base]


def check_confinement(name: str, spec: dict[str, Any]) -> None:
    """Whatever else an overlay does, a container stays confined and limited."""
    assert spec["read_only"] is True, name
    assert spec["cap_drop"] == ["ALL"], name
    assert spec["security_opt"] == ["no-new-privileges:true"], name
    assert spec["user"] == "10001:10001", name
    assert {"mem_limit", "pids_limit", "cpus", "init", "restart", "healthcheck"} <= set(spec), name
    assert len(spec["tmpfs"]) == len({mount.split(":")[0] for mount in spec["tmpfs"]}), name
    published = {(port["target"], port["host_ip"]) for port in spec.get("ports", [])}
    fleet, control = (9092, "0.0.0.0"), (9093, "127.0.0.1")  # noqa: S104 - published, not bound
    assert published == ({fleet, control} if name == "superlink" else set()), name


def check_tls(name: str, spec: dict[str, Any], *, without: bool) -> None:
    """Without TLS no program is told of a key; with it, every one is."""
    if name == "postgres" or spec.get("scale") == 0:
        return
    told = [value for value in spec["environment"].values() if value and "/run/secrets" in value]
    sources = [v["source"] for v in spec["volumes"] if v["target"] == "/run/secrets"]
    assert len(sources) == 1, name
    if without:
        assert not told, name
        assert spec["command"] == ["--insecure"], name
        assert sources[0].endswith("/nothing"), name
    else:
        assert told, name
        assert "command" not in spec or spec["command"] is None, name
        assert Path(sources[0]).name == name, name


def check_isolation(name: str, spec: dict[str, Any], overlays: Sequence[str]) -> None:
    """Executors run beside their daemon or inside it, never both."""
    role = name.rpartition("-")[0] or name
    side = "server" if role in {"superlink", "serverapp"} else "site"
    inside = f"subprocess.{side}" in overlays
    if role in EXECUTORS:
        assert (spec.get("scale") == 0) == inside, name
        has_gpu = "devices" in str(spec.get("deploy"))
        assert has_gpu == (f"gpu.{side}" in overlays), name
    elif role in {"superlink", "supernode"}:
        executor = "serverapp" if role == "superlink" else "clientapp"
        image = executor if inside else role
        assert spec["image"] == local_image(ROOT, image), name
        prefix = f"FLWR_{role.upper()}"
        isolation = spec["environment"][f"{prefix}_ISOLATION"]
        assert isolation == ("subprocess" if inside else "process"), name


@pytest.mark.parametrize("nodes", [1, 2, 16])
def test_the_number_of_nodes_is_a_setting(
    nodes: int, settings: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLWR_NODES", str(nodes))

    services = model("site.yaml", (), settings)["services"]

    assert sum(name.startswith("supernode-") for name in services) == nodes
    told = services[f"supernode-{nodes}"]["environment"]["FLWR_SUPERNODE_NODE_CONFIG"]
    assert told == f'name="node-{nodes}" partition-id={nodes - 1} num-partitions={nodes}'


def test_two_federations_of_one_host_share_no_name_and_no_port(
    settings: Path, tmp_path: Path
) -> None:
    second = tmp_path / "second.env"
    second.write_text(
        settings.read_text("utf-8")
        .replace("FLWR_FEDERATION=flwr", "FLWR_FEDERATION=second")
        .replace("FLWR_FLEET_PORT=9092", "FLWR_FLEET_PORT=9192")
        .replace("FLWR_CONTROL_PORT=9093", "FLWR_CONTROL_PORT=9193")
    )

    one, two = (model("compose.yaml", (), file) for file in (settings, second))

    for kind in ("networks", "volumes"):
        names = [{spec["name"] for spec in each[kind].values()} for each in (one, two)]
        assert not names[0] & names[1]
    ports = [
        {p["published"] for p in each["services"]["superlink"]["ports"]} for each in (one, two)
    ]
    assert not ports[0] & ports[1]
