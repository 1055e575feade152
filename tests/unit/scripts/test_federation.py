"""What ``make up`` checks before the engine would fail with a riddle, and whom it ends."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from scripts import federation
from scripts.federation import Federation
from scripts.progress import StepError

from tests.unit.scripts.fake_docker import FakeDocker


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeDocker:
    (tmp_path / "bin").mkdir()
    return FakeDocker.install(tmp_path / "bin", monkeypatch)


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def model(**superlink: Any) -> str:
    """Return a federation of one service as ``docker compose config`` prints it."""
    spec = {"image": "flwr-compose/superlink:0.1.0", "volumes": [], "ports": [], **superlink}
    return json.dumps({"name": "flwr", "services": {"superlink": spec}})


def known(docker: FakeDocker, model: str, **more: str | None) -> Federation:
    docker.answer({**more, "compose": model})
    return Federation()


def test_a_missing_image_of_ours_is_told_with_how_to_make_it(docker: FakeDocker) -> None:
    found = known(docker, model(), **{"image inspect": None})
    with pytest.raises(StepError, match=r"no image flwr-compose/superlink:0.1.0(?s:.*)make images"):
        found.check_parts()


def test_an_image_of_a_registry_is_left_to_the_engine(docker: FakeDocker) -> None:
    known(
        docker, model(image="registry.example/superlink:1"), **{"image inspect": None}
    ).check_parts()


@pytest.mark.parametrize(
    ("target", "folder", "remedy"),
    [
        ("/run/secrets", "superlink", "make certs"),
        ("/run/secrets", "postgres", "make database-secret"),
        ("/run/database", "superlink-database", "make database-secret"),
        ("/app", "app", "correct the path"),
    ],
)
def test_a_missing_folder_is_told_with_how_to_make_it(
    docker: FakeDocker, tmp_path: Path, target: str, folder: str, remedy: str
) -> None:
    mount = {"type": "bind", "source": str(tmp_path / folder), "target": target}
    with pytest.raises(StepError, match=f"{folder}, which is missing(?s:.*){remedy}"):
        known(docker, model(volumes=[mount])).check_parts()


def test_a_taken_port_names_the_variable(docker: FakeDocker, taken_port: int) -> None:
    port = {"target": 9093, "published": str(taken_port), "host_ip": "127.0.0.1"}
    with pytest.raises(StepError, match=r"FLWR_CONTROL_PORT in compose/\.env"):
        known(docker, model(ports=[port])).check_ports()


def test_a_port_that_the_federation_holds_itself_is_free_to_it(
    docker: FakeDocker, taken_port: int
) -> None:
    port = {"target": 9093, "published": str(taken_port), "host_ip": "127.0.0.1"}
    held = f"127.0.0.1:{taken_port}->9093/tcp, 9091/tcp"
    known(docker, model(ports=[port]), ps=held).check_ports()


def test_nodes_beyond_the_wanted_ones_are_ended_and_others_are_not(docker: FakeDocker) -> None:
    rows = "a1 superlink\nb1 supernode-4\nc1 clientapp-4\nd1 somebody-elses"
    assert known(docker, model(), ps=rows).retire() == ["clientapp-4", "supernode-4"]
    ended = [call for call in docker.calls if call.startswith(("stop", "rm"))]
    assert ended == ["stop b1", "rm b1", "stop c1", "rm c1"]


def test_started_federations_are_noted_once(
    docker: FakeDocker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(federation, "KNOWN", tmp_path / "state" / "federations")
    for _ in range(2):
        known(docker, model()).remember()
    assert federation.KNOWN.read_text() == "flwr\n"


def test_preparing_starts_nothing(
    docker: FakeDocker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(federation, "KNOWN", tmp_path / "federations")
    settings = tmp_path / "settings.env"
    settings.write_text("FLWR_NODES=1\n")
    docker.answer({"compose": model()})

    assert federation.main(["prepare", "--env-file", str(settings)]) == 0

    assert federation.KNOWN.read_text() == "flwr\n"
    assert not [call for call in docker.calls if " up " in call]


def test_containers_are_shown_daemons_first(docker: FakeDocker) -> None:
    rows = [
        {"Service": "clientapp-1", "State": "running", "Health": "starting"},
        {"Service": "superlink", "State": "running", "Health": "healthy"},
    ]
    shown = known(docker, "\n".join(json.dumps(row) for row in rows)).containers()
    assert [(c.service, c.is_healthy) for c in shown] == [
        ("superlink", True),
        ("clientapp-1", False),
    ]


def test_without_settings_the_remedy_is_told(
    docker: FakeDocker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert federation.main(["up", "--env-file", str(tmp_path / "none")]) == 3
    assert "cp compose/.env.example compose/.env" in capsys.readouterr().err


def test_without_an_engine_the_remedy_is_told(
    docker: FakeDocker, capsys: pytest.CaptureFixture[str]
) -> None:
    docker.answer({"version": None})
    assert federation.main(["up"]) == 3
    assert "what to do: make engine" in capsys.readouterr().err
