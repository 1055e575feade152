from pathlib import Path
from typing import Any

import pytest

from flwr.core.capacity import AppNeeds
from flwr.core.errors import InvalidError
from flwr.core.lease import AppKind
from flwr.shell.executor_settings import EXECUTOR_SETTINGS, executor_flags
from flwr.shell.resource_settings import Room, read_bytes, read_room
from flwr.shell.settings import ConfigError, load_settings

HERE = "flwr.shell.resource_settings"


@pytest.fixture(autouse=True)
def _machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{HERE}.available_cpus", lambda: 4)
    monkeypatch.setattr(f"{HERE}.available_gpus", lambda: ("0", "2"))
    monkeypatch.setattr(f"{HERE}.available_memory", lambda: 8_000_000_000)


def settings(*argv: str) -> dict[str, Any]:
    return load_settings("x-superexec", EXECUTOR_SETTINGS, argv, description="", env={})


def room(*argv: str, kind: AppKind = AppKind.CLIENTAPP) -> Room:
    return read_room(settings(*argv), kind)


@pytest.mark.parametrize(
    ("argv", "clientapps", "serverapps"),
    [
        ([], 4, 16),  # those of a server mostly wait
        (["--max-apps=9"], 9, 9),
        (["--cpus-per-app=0.5"], 8, 8),
        (["--cpus-per-app=2", "--max-apps=9"], 2, 2),
        (["--cpus-per-app=0"], 16, 16),
        (["--memory-per-app=3g"], 2, 2),
        (["--gpus-per-app=1"], 2, 2),
        (["--gpus-per-app=0.5", "--max-apps=9"], 4, 4),
        (["--gpus-per-app=0"], 4, 16),
        (["--cpus-per-app=", "--memory-per-app="], 4, 16),  # as an empty variable
        (["--admission-dir=/run/q", "--max-apps=9"], 4, 9),  # all count in CPUs there
    ],
)
def test_what_is_scarcest_says_how_many_apps_run(
    argv: list[str], clientapps: int, serverapps: int
) -> None:
    assert room(*argv).apps == clientapps
    assert room(*argv, kind=AppKind.SERVERAPP).apps == serverapps


@pytest.mark.parametrize(
    ("argv", "cause"),
    [
        (["--cpus-per-app=5"], "one app needs 5 CPUs, here are 4 CPUs, 2 GPUs, 8000 MB"),
        (["--memory-per-app=8g"], "needs 1 CPU, 8590 MB, here are"),
        (["--gpus-per-app=3"], "needs 1 CPU, 3 GPUs, here are"),
        (["--max-apps=0"], "--max-apps is 0"),
    ],
)
def test_what_can_never_run_is_refused_with_the_numbers(argv: list[str], cause: str) -> None:
    with pytest.raises(ConfigError, match=cause):
        room(*argv)


def test_a_gpu_and_a_half_are_refused() -> None:
    with pytest.raises(InvalidError, match="only one GPU is shared out"):
        room("--gpus-per-app=1.5")


@pytest.mark.parametrize("argv", ["--cpus-per-app=-1", "--gpus-per-app=nan", "--memory-per-app=2x"])
def test_what_is_no_amount_is_refused(argv: str) -> None:
    with pytest.raises(ConfigError, match="is no"):
        settings(argv)


def test_a_directory_whose_socket_would_have_too_long_a_name_is_refused() -> None:
    with pytest.raises(ConfigError, match="too long"):
        settings(f"--admission-dir=/{'d' * 100}")


@pytest.mark.parametrize(
    ("text", "size"), [("512", 512), ("2k", 2048), ("500m", 524_288_000), ("1GB", 1 << 30)]
)
def test_sizes_are_written_as_for_containers(text: str, size: int) -> None:
    assert read_bytes(text) == size


def test_gpus_are_given_to_apps_only_where_somebody_said_so() -> None:
    assert not room().assigns_gpus
    assert room("--gpus-per-app=0").assigns_gpus  # none


def test_a_daemon_passes_on_what_it_was_told() -> None:
    argv = ["--cpus-per-app=0.5", "--memory-per-app=1g", "--admission-dir=/run/q"]
    passed = room(*executor_flags(settings(*argv)))
    assert passed == room(*argv)
    assert passed.needs == AppNeeds(cpus=0.5, memory=1 << 30)
    assert passed.shared_by == Path("/run/q")
