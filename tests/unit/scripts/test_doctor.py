"""`make doctor`: each finding is named with what mends it; nothing makes it fall over."""

import importlib.util
import json
import os
import socket
import stat
import sys
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from certs.deployment import Deployment
from certs.names import server_names
from certs.storage import Storage
from images.inputs import local_image
from scripts import doctor
from scripts.diagnosis import deployment, host, mounts, settings, trust
from scripts.diagnosis.findings import Result, State, ask
from scripts.diagnosis.model import Model

from tests.harness.toolset import ROOT

CERTS = local_image(ROOT, "certs")
INFO = {"ServerVersion": "26.1.5", "CgroupVersion": "1", "NCPU": 2, "MemoryLimit": True}
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root sets owners")

Docker = Callable[[dict[str, Any]], None]


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Docker:
    """Put a `docker` first on PATH that answers as told: beginning of its arguments -> answer."""

    def install(answers: dict[str, Any]) -> None:
        folder = tmp_path / "bin"
        folder.mkdir()
        script = folder / "docker"
        script.write_text(
            f"#!{sys.executable}\nimport sys\nanswers = {answers!r}\n"
            "said = ' '.join(sys.argv[1:])\n"
            "for begin, (code, out, err) in answers.items():\n"
            "    if said.startswith(begin):\n"
            "        sys.stdout.write(out); sys.stderr.write(err); sys.exit(code)\n"
            "sys.stderr.write('not told: ' + said); sys.exit(125)\n"
        )
        script.chmod(0o755)
        monkeypatch.setenv("PATH", str(folder))

    return install


@pytest.fixture
def no_docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("DOCKER_HOST", raising=False)


def model(**services: Any) -> Model:
    return Model("flwr", services)


def bind(source: Path, target: str = "/run/secrets", *, read_only: bool = True) -> dict[str, Any]:
    volume = {"type": "bind", "source": str(source), "target": target, "read_only": read_only}
    return {"user": "10001:10001", "group_add": ["10001"], "volumes": [volume]}


def only(results: Iterable[Result], state: State = State.FINDING) -> Result:
    (result,) = list(results)
    assert result.state is state, result
    return result


# -- the host ---------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_docker")
def test_without_docker_it_says_how_to_get_it() -> None:
    engine, *others = host.check_toolchain(host.engine_info())

    assert (engine.state, engine.remedy) == (State.FINDING, "make engine")
    assert {r.state for r in others} == {State.SKIPPED}


@pytest.mark.parametrize(
    ("engine", "compose", "names"),
    [
        ("26.1.5", "2.26.1", []),
        ("20.10.24", "2.26.1", ["engine"]),
        ("26.1.5", "v2.5.0", ["compose"]),
    ],
)
def test_old_programs_are_named(
    docker: Docker, engine: str, compose: str, names: list[str]
) -> None:
    docker(
        {
            "compose version": (0, f"Docker Compose version {compose}\n", ""),
            "buildx version": (0, "github.com/docker/buildx 0.13.1+ds1\n", ""),
        }
    )
    results = list(host.check_toolchain({"ServerVersion": engine}))

    assert [r.name for r in results if r.state is State.FINDING] == names


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("permission denied while trying to connect", "usermod -aG docker"),
        ("Cannot connect to the Docker daemon", "scripts/engine.py up"),
    ],
)
def test_an_engine_that_does_not_answer_is_told_from_one_that_may_not(
    docker: Docker, monkeypatch: pytest.MonkeyPatch, said: str, remedy: str
) -> None:
    docker({"version": (1, "", said), "compose": (1, "", ""), "buildx": (1, "", "")})
    monkeypatch.setenv("DOCKER_HOST", "unix:///var/run/docker.sock")

    engine, *others = host.check_toolchain({})

    assert remedy in engine.remedy
    assert {r.text for r in others} == {"it is not installed"}


def test_limits_the_engine_cannot_keep_are_found() -> None:
    assert only(host.check_limits(INFO), State.FINE).text.startswith("cgroup v1")
    assert "PidsLimit" in only(host.check_limits({**INFO, "PidsLimit": False})).text
    only(host.check_limits({}), State.SKIPPED)


def test_more_processors_than_there_are_name_the_setting() -> None:
    wanted = model(**{"clientapp-3": {"cpus": 4}})

    found = only(host.check_processors(INFO, wanted))

    assert found.remedy == "set FLWR_CLIENTAPP_CPUS=2 in compose/.env"
    only(host.check_processors(INFO, model(superlink={"cpus": 1.5})), State.FINE)


def test_memory_and_clock_have_their_bounds(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 9 kB\nMemAvailable:    1000000 kB\n")
    assert "1024 MB available" in only(host.check_memory(meminfo)).text
    meminfo.write_text("MemAvailable:    8000000 kB\n")
    only(host.check_memory(meminfo), State.FINE)
    only(host.check_memory(tmp_path / "none"), State.SKIPPED)
    only(host.check_clock(1_000_000_000.0))
    only(host.check_clock(), State.FINE)


# -- settings ---------------------------------------------------------------------------------


def test_every_line_that_compose_passes_over_is_named(tmp_path: Path) -> None:
    env = tmp_path / ".env"
    env.write_text(
        "# ours\nFLWR_NODES=2\nFLWR_FLEET_PROT=9192\nhello\nFLWR_NODE_7_DATA=/srv\n"
        "FLWR_NODES=3\nCOMPOSE_PROFILES=nodes-3\nMY_OWN=1\nFLWR_NODE_17_NAME=x\n"
    )
    results = list(settings.check_settings(ROOT / "compose", env))

    assert [(r.text.partition(", ")[2].partition(":")[0], r.remedy) for r in results] == [
        ("line 3", "did you mean FLWR_FLEET_PORT? compose/.env.example lists every name"),
        ("line 4 is no NAME=value", f"sed -i 4d {env}"),
        ("line 6", f"sed -i 2d {env}"),
        ("line 8", "remove it; compose/.env.example lists every name"),
        ("line 9", "did you mean FLWR_NODE_7_NAME? compose/.env.example lists every name"),
    ]


def test_nodes_that_no_profile_starts_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COMPOSE_PROFILES", raising=False)
    env = tmp_path / ".env"
    env.write_text("FLWR_NODES=2\n")

    found = only(settings.check_settings(ROOT / "compose", env))

    assert found.text == f"{env}: FLWR_NODES starts no node without COMPOSE_PROFILES"
    mend(found.remedy)
    only(settings.check_settings(ROOT / "compose", env), State.FINE)


def test_the_example_is_a_good_file_and_no_file_is_fine(tmp_path: Path) -> None:
    example = ROOT / "compose" / ".env.example"

    only(settings.check_settings(ROOT / "compose", example), State.FINE)
    only(settings.check_settings(tmp_path, None), State.FINE)


def test_bytes_that_are_no_text_are_a_finding(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"\xff\xfe")

    assert "cannot be read" in only(settings.check_settings(tmp_path, None)).text


def test_nodes_that_would_not_start_are_found() -> None:
    node = {"environment": {"FLWR_SUPERNODE_NODE_CONFIG": "partition-id=0 num-partitions=3"}}
    found = only(settings.check_nodes(model(**{"superlink": {}, "supernode-1": node})))

    assert "COMPOSE_PROFILES=nodes-${FLWR_NODES}" in found.remedy
    three = {f"supernode-{n}": node for n in (1, 2, 3)}
    only(settings.check_nodes(model(superlink={}, **three)), State.FINE)
    only(settings.check_nodes(model(**{"supernode-1": node})), State.FINE)  # one of three sites
    only(settings.check_nodes(model(superlink={})), State.FINE)


# -- mounts -----------------------------------------------------------------------------------


def mend(command: str) -> None:
    done = ask(["sh", "-c", command.replace("sudo ", "")])
    assert done.is_good, done


@pytest.mark.row("S52")
@as_root
@pytest.mark.parametrize(
    ("owner", "mode"), [((0, 0), 0o600), ((1000, 1000), 0o640), ((1000, 10001), 0o600)]
)
def test_secrets_of_the_wrong_owner_are_mended_by_the_command_it_names(
    tmp_path: Path, owner: tuple[int, int], mode: int
) -> None:
    folder = tmp_path / "superlink"
    folder.mkdir(mode=0o755)
    key = folder / "server.key"
    key.write_text("key")
    os.chown(key, *owner)
    key.chmod(mode)
    deployed = model(superlink=bind(folder))

    found = only(mounts.check_mounts(deployed))

    assert "server.key" in found.text
    assert f"{owner[0]}:{owner[1]}" in found.text
    assert found.remedy.startswith(f"sudo chown -R 0:10001 {folder}")
    mend(found.remedy)
    only(mounts.check_mounts(deployed), State.FINE)
    assert stat.filemode(key.stat().st_mode) == "-rw-r-----"


@as_root
def test_data_is_opened_by_group_and_never_given_away(tmp_path: Path) -> None:
    data = tmp_path / "records"
    (data / "deep").mkdir(parents=True)
    (data / "deep" / "a.csv").write_text("1")
    for path in (data / "deep" / "a.csv", data / "deep", data):
        os.chown(path, 1000, 1000)
        path.chmod(0o700 if path.is_dir() else 0o600)
    deployed = model(**{"clientapp-1": bind(data, "/mnt/data")})

    found = only(mounts.check_mounts(deployed))

    assert found.remedy == f"sudo chgrp -R 10001 {data} && sudo chmod -R g+rX {data}"
    mend(found.remedy)
    only(mounts.check_mounts(deployed), State.FINE)
    assert data.stat().st_uid == 1000


@as_root
def test_data_that_a_group_may_read_needs_that_group(tmp_path: Path) -> None:
    data = tmp_path / "records"
    data.mkdir()
    os.chown(data, 1000, 4711)
    data.chmod(0o750)
    deployed = model(**{"clientapp-1": bind(data, "/mnt/data")})

    assert only(mounts.check_mounts(deployed)).remedy == (
        "set FLWR_DATA_GROUP=4711 in compose/.env"
    )
    deployed.services["clientapp-1"]["group_add"] = ["4711"]
    only(mounts.check_mounts(deployed), State.FINE)


@as_root
def test_a_folder_to_write_into_belongs_to_the_container(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    deployed = model(superlink=bind(tmp_path, "/data", read_only=False))

    assert only(mounts.check_mounts(deployed)).remedy == f"sudo chown -R 10001:10001 {tmp_path}"


def test_a_missing_folder_names_the_command_that_makes_it(tmp_path: Path) -> None:
    services = {
        "superlink": bind(tmp_path / "superlink"),
        "supernode-3": bind(tmp_path / "supernode-3"),
        "postgres": bind(tmp_path / "postgres"),
        "clientapp-1": bind(tmp_path / "records", "/mnt/data"),
    }
    remedies = [r.remedy for r in mounts.check_mounts(model(**services))]

    assert remedies[:3] == ["make certs", "make certs NODES=3", "make database-secret"]
    assert remedies[3].startswith(f"mkdir -p {tmp_path / 'records'}")


def test_links_and_volumes_are_left_out(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    (tmp_path / "link").symlink_to("/etc/shadow")
    deployed = model(superlink=bind(tmp_path))
    deployed.services["superlink"]["volumes"].append({"type": "volume", "source": "state"})

    only(mounts.check_mounts(deployed), State.FINE)


# -- trust ------------------------------------------------------------------------------------


@pytest.fixture
def certs(tmp_path: Path) -> Path:
    folder = tmp_path / "certs"
    made = Deployment(folder, now=datetime.now(UTC), storage=Storage(folder, is_superuser=False))
    made.make_all(hosts=server_names(["hub.example"]), names=["a"])
    return folder


def test_good_certificates_are_fine_for_the_names_they_have(certs: Path) -> None:
    valid, names = trust.check_trust(certs, None, ["hub.example"])

    assert (valid.state, names.state) == (State.FINE, State.FINE)
    assert "396 days left" in valid.text


@pytest.mark.row("S52")
def test_a_name_the_certificate_lacks_names_the_command_that_adds_it(certs: Path) -> None:
    dialled = {"FLWR_SUPERNODE_SUPERLINK": "[2001:db8::7]:9092"}
    deployed = model(**{"superlink": {}, "supernode-1": {"environment": dialled}})

    *_, names = trust.check_trust(certs, deployed, ["new.example"])

    assert names.state is State.FINDING
    assert names.remedy == "make certs SAN=hub.example,new.example,2001:db8::7"


def test_what_the_pki_tool_finds_is_passed_on(certs: Path, tmp_path: Path) -> None:
    (certs / "superlink" / "server.key").write_text("hello")
    (certs / "supernode-1" / "node.key").unlink()

    results = list(trust.check_trust(certs, None, []))

    assert [r.state for r in results[:2]] == [State.FINDING, State.FINDING]
    assert "no private key" in results[0].text
    assert results[1].remedy == f"certs/pki.py all --out {certs}"
    only(trust.check_trust(tmp_path / "none", None, []))
    only(trust.check_trust(None, None, []), State.SKIPPED)
    (tmp_path / "empty").mkdir()
    assert "make certs" in only(trust.check_trust(tmp_path / "empty", None, [])).remedy


def test_without_cryptography_the_container_looks(
    certs: Path, docker: Docker, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    facts = {
        "findings": [
            {"path": "/certs/superlink/server.crt", "cause": "expired 1 days ago",
             "remedy": "pki.py renew-server --out /certs", "level": "broken"}
        ],
        "certificates": [{"path": "/certs/superlink/server.crt", "names": [], "days-left": -1}],
    }  # fmt: skip
    run = f"run --rm --network none --volume {certs}:/certs:ro {CERTS} check"
    docker({f"image inspect {CERTS}": (0, "", ""), run: (1, json.dumps(facts), "")})
    monkeypatch.setattr(trust, "ROOT", tmp_path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)

    expired, _ = trust.check_trust(certs, None, [])

    assert expired.text == f"{certs}/superlink/server.crt expired 1 days ago"
    assert expired.remedy == f"certs/pki.py renew-server --out {certs}"


@pytest.mark.usefixtures("no_docker")
def test_with_neither_it_is_skipped_with_the_reason(
    certs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(trust, "ROOT", tmp_path)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)

    assert "make setup" in only(trust.check_trust(certs, None, []), State.SKIPPED).text


# -- images, ports, containers ----------------------------------------------------------------


def test_missing_images_are_made_or_pulled(docker: Docker) -> None:
    docker({"image inspect flwr-compose/here": (0, "", "")})
    images = ["flwr-compose/here:1", "flwr-compose/superlink:1", "registry.example/x:1"]
    services = {f"s{number}": {"image": image} for number, image in enumerate(images)}

    made, pulled = deployment.check_images(model(**services))

    assert (made.remedy, pulled.remedy) == ("make images", "docker compose pull")
    assert "registry.example/x:1" in pulled.text


def published(number: int, host_ip: str = "127.0.0.1") -> Model:
    port = {"target": 9092, "published": str(number), "host_ip": host_ip}
    return model(superlink={"ports": [port]})


@pytest.mark.parametrize(
    ("labels", "state"),
    [
        ("com.docker.compose.project=flwr,x=y", State.FINE),
        ("com.docker.compose.project=other", State.FINDING),
        (None, State.FINDING),
    ],
)
def test_a_taken_port_is_ours_or_somebody_elses(
    docker: Docker, labels: str | None, state: State
) -> None:
    listed = json.dumps({"Names": "other-1", "Labels": labels}) + "\n" if labels else ""
    docker({"ps --filter publish=": (0, listed, "")})
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        number = holder.getsockname()[1]
        result = only(deployment.check_ports(published(number)), state)
    if state is State.FINDING:
        assert "FLWR_FLEET_PORT=" in result.remedy
        assert ("container other-1" in result.text) == bool(labels)
    only(deployment.check_ports(published(number)), State.FINE)


def test_an_address_of_another_host_is_found() -> None:
    found = only(deployment.check_ports(published(9092, "192.0.2.7")))

    assert "FLWR_FLEET_BIND" in found.remedy


def container(service: str, status: str, **state: Any) -> dict[str, Any]:
    labels = {"com.docker.compose.service": service}
    return {
        "Id": service,
        "Name": f"/flwr-{service}-1",
        "Config": {"Labels": labels},
        "State": {"Status": status, "ExitCode": 3, **state},
    }


def test_containers_that_are_not_well_say_their_last_words(docker: Docker, tmp_path: Path) -> None:
    inspected = [
        container("superlink", "running", Health={"Status": "healthy"}),
        container("serverapp", "running", Health={"Status": "unhealthy"}),
        container("supernode-1", "restarting"),
        container("clientapp-1", "paused"),
        container("clientapp-2", "exited", OOMKilled=True),
        container("supernode-3", "running", Health={"Status": "starting"}) | {"RestartCount": 2},
    ]
    docker(
        {
            "ps -aq": (0, "a b c d e\n", ""),
            "inspect": (0, json.dumps(inspected), ""),
            "logs --tail 1": (0, "", "error: no such key\n"),
        }
    )
    results = list(deployment.check_containers(model(), tmp_path))

    assert [r.text.partition(";")[0] for r in results] == [
        "serverapp is unhealthy",
        "supernode-1 is restarting",
        "clientapp-1 is paused",
        "clientapp-2 is exited with code 3 (memory)",
        "supernode-3 was restarted 2 times and is not healthy yet",
    ]
    assert results[0].text.endswith("last words: error: no such key")
    assert results[2].remedy == "docker unpause flwr-clientapp-1-1"
    assert results[1].remedy.endswith("logs --tail 50 supernode-1")


# -- the program ------------------------------------------------------------------------------


@pytest.mark.usefixtures("no_docker")
def test_on_a_bare_machine_it_finds_and_skips_but_does_not_fall_over(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert doctor.main(["--format", "json"]) == 6

    facts = json.loads(capsys.readouterr().out)
    states = {r["name"]: r["state"] for r in facts["results"]}
    assert facts["fine"] is False
    assert states["engine"] == "finding"
    assert states["deployment"] == states["images"] == states["containers"] == "skipped"
    assert all(r["remedy"] for r in facts["results"] if r["state"] == "finding")


def test_nonsense_from_docker_is_no_traceback(
    capsys: pytest.CaptureFixture[str], docker: Docker
) -> None:
    docker(
        {
            "info": (0, '{"ServerVersion": "26.1.5", "NCPU": "many"}', ""),
            "compose version": (0, "2.26.1", ""),
            "compose": (0, '{"name": 1, "services": {"a": {"ports": 7, "volumes": "x"}}}', ""),
            "": (0, "[nonsense", ""),
        }
    )
    assert doctor.main([]) == 6

    said = capsys.readouterr()
    assert "could not look" in said.out
    assert "Traceback" not in said.out + said.err


def test_what_compose_refuses_is_a_finding(
    capsys: pytest.CaptureFixture[str], docker: Docker
) -> None:
    refused = (15, "", "\nbad: FLWR_CPUS\n")
    docker({"compose version": (0, "2.26.1", ""), "compose --project-directory": refused})

    assert doctor.main([]) == 6
    assert "FINDING  deployment    bad: FLWR_CPUS" in capsys.readouterr().out


def test_a_folder_that_is_not_there_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        doctor.main(["--compose", "/nowhere"])
    assert ended.value.code == 2
