import builtins
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flwr.sdk import (
    Daemon,
    DeployError,
    DeploymentNotFoundError,
    Executor,
    MissingExtraError,
    ParameterError,
    Server,
    Site,
    ToolError,
    host_address,
)
from flwr.sdk.engine import compose_client, explained
from flwr.sdk.parameters import read_settings
from tests.harness.toolset import ROOT
from tests.unit.scripts.fake_docker import FakeDocker
from tests.unit.sdk.test_checkout import checkout_at

EVERYWHERE = "0.0.0.0"  # noqa: S104 - what the engine calls every interface
# In place of scripts/federation.py, which has tests of its own.
PREPARE = "import sys; assert sys.argv[1:3] == ['prepare', '--env-file'], sys.argv"


def container(service: str, **network_settings: Any) -> dict[str, Any]:
    """Return what ``docker inspect`` shows of a healthy container, as far as we read it."""
    return {
        "Id": f"id-{service}",
        "Config": {"Labels": {"com.docker.compose.service": service}, "Image": f"x/{service}:1"},
        "State": {"Status": "running", "Health": {"Status": "healthy"}},
        "NetworkSettings": network_settings,
    }


SUPERLINK = container(
    "superlink",
    Ports={
        "9092/tcp": [{"HostIp": EVERYWHERE, "HostPort": "19092"}],
        "9093/tcp": [{"HostIp": "127.0.0.1", "HostPort": "19093"}],
        "9091/tcp": None,
    },
    Networks={"hub_control": {}, "hub_serverapp-io": {}},
)


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeDocker:
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("FLWR_TEST_STRAY", "1")  # the shell's settings must not count
    return FakeDocker.install(tmp_path / "bin", monkeypatch)


@pytest.fixture(autouse=True)
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Sources with the real compose files and no tools."""
    root = checkout_at(tmp_path / "checkout", scripts__federation=PREPARE)
    (root / "compose" / "server.yaml").unlink()
    (root / "compose").rmdir()
    (root / "compose").symlink_to(ROOT / "compose")
    monkeypatch.setenv("FLWR_COMPOSE_HOME", str(root))
    return root


@pytest.fixture
def engine(docker: FakeDocker) -> Callable[..., FakeDocker]:
    """An engine in which these containers are."""

    def of(*containers: dict[str, Any], **answers: str | None) -> FakeDocker:
        ids = "\n".join(each["Id"] for each in containers)
        docker.answer(
            {
                **{f"* {words.replace('_', ' ')}": said for words, said in answers.items()},
                "* ps --quiet": ids,
                **{f"container inspect {c['Id']}": json.dumps([c]) for c in containers},
            }
        )
        return docker

    return of


def settings_of(home: Path, name: str) -> dict[str, str]:
    return read_settings((home / "deployments" / name / "settings.env").read_text())


@pytest.mark.row("S52", "S54", "S59")
def test_a_server_is_started_from_what_was_asked(
    engine: Callable[..., FakeDocker], checkout: Path, home: Path, tmp_path: Path
) -> None:
    docker = engine(SUPERLINK)

    server = Server.deploy(
        "hub",
        keys=tmp_path / "keys",
        fleet=f"{EVERYWHERE}:19092",
        superlink=Daemon(memory="384m"),
        serverapp=Executor(image="x/app:1", environment={"MODE": "fast"}),
        overlays=["postgres"],
        settings={"FLWR_LOG_LEVEL": "DEBUG"},
        timeout=77,
    )

    found, folder = settings_of(home, "hub"), home / "deployments" / "hub"
    compose = checkout / "compose"
    files = [compose / "server.yaml", compose / "overlays" / "postgres.server.yaml"]
    assert found["COMPOSE_FILE"].split(":") == [str(f) for f in (*files, folder / "override.yaml")]
    assert found["FLWR_CERTS"] == str(tmp_path / "keys")
    assert (found["FLWR_FLEET_BIND"], found["FLWR_FLEET_PORT"]) == (EVERYWHERE, "19092")
    assert (found["FLWR_CONTROL_BIND"], found["FLWR_CONTROL_PORT"]) == ("127.0.0.1", "9093")
    assert (found["FLWR_SUPERLINK_MEMORY"], found["FLWR_SERVERAPP_IMAGE"]) == ("384m", "x/app:1")
    assert found["FLWR_LOG_LEVEL"] == "DEBUG"
    override = json.loads((folder / "override.yaml").read_text())
    assert override == {"services": {"serverapp": {"environment": {"MODE": "fast"}}}}
    (up,) = [call for call in docker.calls if " up " in call]
    assert "--project-name hub" in up
    assert "--wait-timeout 77" in up
    assert server.name == "hub"


@pytest.mark.row("S52")
def test_a_server_s_status_is_json_with_its_endpoints(engine: Callable[..., FakeDocker]) -> None:
    engine(SUPERLINK, container("serverapp"))
    server = Server.deploy("hub")

    status = json.loads(json.dumps(server.status()))

    assert status["name"] == "hub"
    assert [(s["service"], s["health"]) for s in status["services"]] == [
        ("serverapp", "healthy"),
        ("superlink", "healthy"),
    ]
    assert status["endpoints"] == {
        "fleet": {"address": f"{EVERYWHERE}:19092", "network": None},
        "control": {"address": "127.0.0.1:19093", "network": None},
        "serverappio": {"address": "serverappio:9091", "network": "hub_serverapp-io"},
    }


@pytest.mark.row("S52")
def test_without_an_executor_of_its_own_there_is_no_appio_endpoint(
    engine: Callable[..., FakeDocker],
) -> None:
    engine(SUPERLINK)
    server = Server.deploy("hub", overlays=["subprocess"])
    assert set(server.endpoints) == {"fleet", "control"}


@pytest.mark.row("S53", "S59")
def test_a_site_is_given_endpoint_keys_data_and_config(
    engine: Callable[..., FakeDocker], home: Path, tmp_path: Path
) -> None:
    networks: dict[str, Any] = {"clinic-a_fleet": {}, "clinic-a_clientapp-io-1": {}}
    engine(container("supernode-1", Networks=networks), container("clientapp-1"))

    site = Site.deploy(
        "clinic-a",
        superlink="hub.example:9092",
        keys=tmp_path / "keys",
        data=tmp_path,
        config={"partition-id": 1, "num-partitions": 2},
        clientapp=Executor(memory="1g"),
    )

    found = settings_of(home, "clinic-a")
    assert found["FLWR_SUPERLINK"] == "hub.example:9092"
    assert found["FLWR_NODE_1_CONFIG"] == "partition-id=1 num-partitions=2"
    assert (found["FLWR_NODE_1_DATA"], found["FLWR_CLIENTAPP_MEMORY"]) == (str(tmp_path), "1g")
    assert site.endpoints == {
        "clientappio": {"address": "clientappio:9094", "network": "clinic-a_clientapp-io-1"}
    }


def test_a_deployment_is_found_again_and_forgotten_on_demand(
    engine: Callable[..., FakeDocker], home: Path
) -> None:
    docker = engine(SUPERLINK)
    Server.deploy("hub")
    with Server.attach("hub") as again:
        assert again.endpoints["control"]["address"] == "127.0.0.1:19093"
    with pytest.raises(DeploymentNotFoundError, match="no site called 'hub'"):
        Site.attach("hub")

    with Server.attach("hub") as third:
        third.down(forget=True)

    kept, forgotten = [call for call in docker.calls if " down " in call]
    assert ("--volumes" in kept, "--volumes" in forgotten) == (False, True)
    assert not (home / "deployments" / "hub").exists()
    with pytest.raises(DeploymentNotFoundError, match="no server called 'hub'"):
        Server.attach("hub")


def test_what_is_missing_is_told_before_anything_starts(docker: FakeDocker, checkout: Path) -> None:
    said = "federation.py: error: there is no image superlink:1\n  what to do: make images\n"
    tool = f"import sys; sys.stderr.write({said!r}); sys.exit(3)"
    (checkout / "scripts" / "federation.py").write_text(tool)

    with pytest.raises(ToolError, match=r"there is no image superlink:1") as failed:
        Server.deploy("hub")

    assert failed.value.hint == "make images"
    assert docker.calls == []


def test_containers_that_do_not_become_healthy_are_named(
    engine: Callable[..., FakeDocker],
) -> None:
    ill = container("superlink")
    ill["State"]["Health"]["Status"] = "unhealthy"
    engine(ill, up=None)

    with pytest.raises(DeployError, match="could not start it: docker: refused") as failed:
        Server.deploy("hub")
    assert failed.value.hint == "read Server.attach('hub').logs('superlink')"


def test_the_log_of_a_container_that_is_not_there_is_told(
    engine: Callable[..., FakeDocker],
) -> None:
    engine(SUPERLINK)
    server = Server.deploy("hub")
    with pytest.raises(DeploymentNotFoundError, match="it has: superlink"):
        server.logs("serverapp")


def test_one_name_is_one_side_s(engine: Callable[..., FakeDocker]) -> None:
    engine(SUPERLINK)
    Server.deploy("hub")
    with pytest.raises(ParameterError, match="hub is the name of a server already"):
        Site.deploy("hub", superlink="hub.example:9092")


@pytest.mark.parametrize("name", ["", "Hub", "../hub", "-hub", "a b"])
def test_a_name_that_no_project_can_have_is_refused(name: str) -> None:
    with pytest.raises(ParameterError, match="no name of a deployment"):
        Server.attach(name)


def test_an_unknown_overlay_gets_the_list_of_known_ones(docker: FakeDocker) -> None:
    with pytest.raises(ParameterError, match="no overlay 'tpu' for a site") as refused:
        Site.deploy("a", superlink="hub:9092", overlays=["tpu"])
    assert refused.value.hint == "there are: gpu, subprocess, without-tls"


def test_what_an_executor_of_its_own_would_get_is_refused_without_one(docker: FakeDocker) -> None:
    given = Executor(environment={"MODE": "fast"})
    with pytest.raises(ParameterError, match="no container serverapp"):
        Server.deploy("hub", serverapp=given, overlays=["subprocess"])
    with pytest.raises(ParameterError, match="no container clientapp-1"):
        Site.deploy("a", superlink="h:1", clientapp=given, overlays=["subprocess"])


def test_an_address_without_a_port_is_refused() -> None:
    with pytest.raises(ParameterError, match="fleet: '9092' is not ADDRESS:PORT"):
        Server.deploy("hub", fleet="9092")


def test_settings_of_the_shell_are_kept_from_compose(docker: FakeDocker, tmp_path: Path) -> None:
    client = compose_client("hub", [tmp_path / "server.yaml"], tmp_path / "settings.env")
    assert "--unset=FLWR_TEST_STRAY" in client.client_config.client_call


def test_an_engine_that_hangs_is_given_up(docker: FakeDocker, tmp_path: Path) -> None:
    (tmp_path / "bin" / "docker").write_text("#!/bin/sh\nexec sleep 30\n")
    client = compose_client("hub", [tmp_path / "server.yaml"], tmp_path / "env", limit_s=0.2)
    with (
        pytest.raises(DeployError, match="could not list containers in time"),
        explained("list containers"),
    ):
        client.compose.ps()


def test_the_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("python_on_whales"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError):
        host_address()
    with pytest.raises(MissingExtraError) as missing:
        Server.deploy("hub")
    assert missing.value.hint == "pip install 'flwr-compose[sdk]'"


def test_a_machine_without_docker_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeployError, match="no docker command"):
        Server.deploy("hub")
