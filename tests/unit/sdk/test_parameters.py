from pathlib import Path

import pytest

from flwr.sdk import Daemon, Executor, ParameterError, Volume
from flwr.sdk.parameters import node_config, read_settings, settings_text
from tests.harness.toolset import ROOT


def secret(tmp_path: Path, mode: int = 0o644) -> Path:
    path = tmp_path / "token"
    path.write_text("s3cret")
    path.chmod(mode)
    return path


@pytest.mark.row("S54")
def test_limits_are_settings_of_their_role() -> None:
    assert Daemon(memory="512m", cpus=0.5).settings("superlink") == {
        "FLWR_SUPERLINK_MEMORY": "512m",
        "FLWR_SUPERLINK_CPUS": "0.5",
    }
    assert Executor(image="x/app:1").settings("clientapp") == {"FLWR_CLIENTAPP_IMAGE": "x/app:1"}
    assert Daemon().settings("superlink") == {}


@pytest.mark.parametrize("daemon", [Daemon(memory="much"), Daemon(memory="0m"), Daemon(cpus=0)])
def test_an_impossible_limit_is_refused(daemon: Daemon) -> None:
    with pytest.raises(ParameterError, match="superlink"):
        daemon.settings("superlink")


@pytest.mark.row("S54")
def test_a_secret_is_written_down_by_its_path_alone(tmp_path: Path) -> None:
    executor = Executor(secrets={"token": secret(tmp_path)}, environment={"MODE": "a$b"})

    override = executor.override()

    assert override["environment"] == {"MODE": "a$$b"}
    (mount,) = override["volumes"]
    assert mount["target"] == "/run/app-secrets/token"
    assert mount["read_only"] is True
    assert mount["bind"] == {"create_host_path": False}
    assert "s3cret" not in str(override)


def test_a_secret_that_the_container_cannot_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="cannot read") as refused:
        Executor(secrets={"token": secret(tmp_path, 0o600)}).override()
    assert "chgrp 10001" in refused.value.hint


@pytest.mark.row("S54")
def test_volumes_are_read_only_unless_asked_otherwise(tmp_path: Path) -> None:
    volumes = [Volume(tmp_path, "/mnt/models"), Volume(tmp_path, "/mnt/out", read_only=False)]
    mounts = Executor(volumes=volumes).override()["volumes"]
    assert [(m["target"], m["read_only"]) for m in mounts] == [
        ("/mnt/models", True),
        ("/mnt/out", False),
    ]


@pytest.mark.parametrize(
    ("executor", "why"),
    [
        (Executor(environment={"FLWR_APPS_DIR": "x"}), "FLWR_APPS_DIR"),
        (Executor(environment={"a b": "x"}), "no name of a variable"),
        (Executor(secrets={"../x": "token"}), "no name of a secret"),
        (Executor(secrets={"token": "absent"}), "there is no file"),
        (Executor(volumes=[Volume("absent", "/mnt/x")]), "there is no folder"),
        (Executor(volumes=[Volume(ROOT, "mnt")]), "cannot be there"),
        (Executor(volumes=[Volume(ROOT, "/run/secrets/x")]), "cannot be there"),
        (Executor(volumes=[Volume(ROOT, "/mnt/../run/secrets")]), "cannot be there"),
        (Executor(volumes=[Volume(ROOT, "/")]), "cannot be there"),
    ],
    ids=[
        *("runtime-variable", "bad-variable", "bad-secret", "no-file", "no-folder"),
        *("relative", "secrets", "dots", "root"),
    ],
)
def test_what_cannot_be_given_to_an_executor_is_told(executor: Executor, why: str) -> None:
    with pytest.raises(ParameterError, match=why):
        executor.override()


def test_settings_are_read_back_as_they_were_written() -> None:
    settings = {"A": 'name="x y" $z #no comment', "B": ""}
    text = settings_text(settings)
    assert text == "A='name=\"x y\" $z #no comment'\nB=''\n"
    assert read_settings(text) == settings


@pytest.mark.parametrize("value", ["it's", "two\nlines"])
def test_a_setting_that_no_file_can_hold_is_refused(value: str) -> None:
    with pytest.raises(ParameterError, match="settings file"):
        settings_text({"A": value})


def test_a_node_s_config_is_written_as_its_supernode_reads_it() -> None:
    values: dict[str, bool | float | str] = {
        "partition-id": 0,
        "share": 0.5,
        "is-new": True,
        "ward": "b 2",
    }
    assert node_config(values) == 'partition-id=0 share=0.5 is-new=true ward="b 2"'
    with pytest.raises(ParameterError, match="ward"):
        node_config({"ward": 'b"'})
