"""Seen from inside every container, and in what the engine was told about it."""

from typing import Final

import pytest

from tests.compose.deployment import Deployment
from tests.compose.hardening.conftest import SHM, TMP, Confined

SERVICES: Final = (
    "superlink", "serverapp", "supernode-1", "supernode-2", "supernode-3",
    "clientapp-1", "clientapp-2", "clientapp-3", "cli",
)  # fmt: skip
DAEMONS: Final = {"superlink", "supernode"}
EXECUTORS: Final = {"serverapp", "clientapp"}
WRITABLE: Final = {
    "superlink": {"/data", TMP, SHM},
    "supernode": {"/data", TMP, SHM},
    "serverapp": {TMP, SHM},
    "clientapp": {TMP, SHM},
    "cli": {TMP, SHM},
}
ANYWHERE: Final = "0.0.0.0"  # noqa: S104  what the server publishes to sites
NO_CAPABILITIES: Final = "0" * 16

confined = pytest.mark.parametrize("name", SERVICES)


def test_no_container_is_left_out(deployment: Deployment, containers: dict[str, Confined]) -> None:
    assert sorted(containers) == sorted(SERVICES)
    assert set(deployment.project.config()["services"]) <= set(containers)


@confined
def test_every_process_is_nobody_and_may_become_nobody(
    containers: dict[str, Confined], name: str
) -> None:
    for process in containers[name].facts["processes"]:
        said = f"{name}: {process['command']}"
        assert process["Uid"].split() == ["10001"] * 4, said
        assert process["Gid"].split() == ["10001"] * 4, said
        for capabilities in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
            assert process[capabilities] == NO_CAPABILITIES, (said, capabilities)
        assert process["NoNewPrivs"] == "1", said
        assert process["Seccomp"] == "2", said
    assert set(containers[name].facts["uid"][2]) <= {10001}


@confined
def test_only_state_and_temporary_folders_can_be_written(
    containers: dict[str, Confined], name: str
) -> None:
    one = containers[name]
    met = one.facts["writable"]
    assert {folder for folder, how in met.items() if how == "writable"} == WRITABLE[one.role]
    assert met["/"] == met["/usr/lib"] == "Read-only file system"
    assert "ro" in one.facts["mounts"]["/"][1:]
    assert one.host_config["ReadonlyRootfs"] is True


@confined
def test_what_is_in_memory_is_bounded_and_runs_nothing_that_daemons_do_not_need(
    containers: dict[str, Confined], name: str
) -> None:
    one = containers[name]
    asked = one.host_config["Tmpfs"]
    assert set(asked) == {TMP}
    options = one.facts["mounts"][TMP]
    assert {"nosuid", "nodev"} <= set(options)
    assert ("noexec" in options) is (one.role not in EXECUTORS)
    assert any(option.startswith("size=") for option in options)
    engines = {"/dev", SHM, "/dev/mqueue"}
    masked = {m for m in one.facts["mounts"] if m.startswith(("/proc/", "/sys/"))}
    in_memory = {m for m, o in one.facts["mounts"].items() if o[0] == "tmpfs"}
    assert in_memory - engines - masked == {TMP}
    assert {"noexec", "nosuid", "nodev"} <= set(one.facts["mounts"][SHM])


@confined
def test_mounts_are_the_ones_that_were_meant(containers: dict[str, Confined], name: str) -> None:
    one = containers[name]
    mounted = {m["Destination"]: m["RW"] for m in one.inspected["Mounts"]}
    expected = {
        "superlink": {"/data": True, "/run/secrets": False},
        "supernode": {"/data": True, "/run/secrets": False},
        "serverapp": {"/run/secrets": False},
        "clientapp": {"/run/secrets": False, "/mnt/data": False},
        "cli": {"/run/secrets": False, "/app": False, "/etc/flwr": False},
    }
    assert mounted == expected[one.role]


@confined
def test_nothing_of_the_host_is_shared(containers: dict[str, Confined], name: str) -> None:
    one, host = containers[name], containers[name].host_config
    assert one.facts["sockets"] == []
    assert not any("docker.sock" in str(m.get("Source")) for m in one.inspected["Mounts"])
    assert host["Privileged"] is False
    assert not host["CapAdd"]
    assert host["CapDrop"] == ["ALL"]
    assert not host["Devices"]
    assert host["PidMode"] == host["UTSMode"] == ""
    assert host["IpcMode"] == "private"
    assert host["NetworkMode"] not in {"host", "default"}
    assert "no-new-privileges:true" in host["SecurityOpt"]
    assert not any("unconfined" in option for option in host["SecurityOpt"])


@confined
def test_only_fleet_and_control_are_published_and_control_on_loopback(
    containers: dict[str, Confined], name: str
) -> None:
    published = {
        port: sorted(end["HostIp"] for end in ends)
        for port, ends in (containers[name].host_config["PortBindings"] or {}).items()
        if ends
    }
    fleet_and_control = {"9092/tcp": [ANYWHERE], "9093/tcp": ["127.0.0.1"]}
    assert published == (fleet_and_control if name == "superlink" else {})


@confined
def test_it_is_reaped_logged_stopped_and_restarted_as_promised(
    containers: dict[str, Confined], name: str
) -> None:
    one, host = containers[name], containers[name].host_config
    assert host["Init"] is True
    (first,) = [p for p in one.facts["processes"] if p["pid"] == "1"]
    assert "init" in first["name"]
    assert host["LogConfig"] == {
        "Type": "json-file",
        "Config": {"max-size": "10m", "max-file": "3"},
    }
    assert one.facts["limits"]["core"] == 0
    if one.role == "cli":
        return
    grace = one.inspected["Config"]["StopTimeout"]
    drain = 20
    assert grace > drain if one.role in EXECUTORS else grace >= 10
    assert host["RestartPolicy"]["Name"] == "unless-stopped"
    health = one.inspected["Config"]["Healthcheck"]
    assert health["Test"][-1] == "/opt/flwr/health.py"
    assert health["Interval"] >= 10_000_000_000
    assert 0 < health["StartInterval"] <= 500_000_000
    assert one.inspected["State"]["Health"]["Status"] == "healthy"


@confined
def test_slim_images_hold_no_tools_to_go_on_with(
    containers: dict[str, Confined], name: str
) -> None:
    one = containers[name]
    assert one.role in EXECUTORS or one.facts["tools"] == []
