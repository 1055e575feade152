import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from flwr.core.errors import InvalidError
from flwr.shell.daemon_settings import ReportingConfig
from flwr.shell.health_settings import HealthConfig
from flwr.shell.settings import Setting
from flwr.shell.startup import Daemon, Work, run_daemon

SETTINGS = (Setting(flag="--colour", help="", default="blue"),)


@dataclass
class Config:
    colour: str
    reporting: ReportingConfig


class Program:
    """A daemon that notes what is done with it."""

    def __init__(self, *, is_checking: bool = False) -> None:
        self.done: list[str] = []
        self._is_checking = is_checking
        self.daemon = Daemon(
            program="flower-test",
            settings=SETTINGS,
            load_config=self._load_config,
            load_work=self._load_work,
            grpc_verbosity="NONE",
        )

    def _load_config(self, argv: Sequence[str]) -> tuple[Config, dict[str, Any]]:
        if "--wrong" in argv:
            raise InvalidError("wrong")
        say = ReportingConfig(health=HealthConfig(), log_level="INFO", log_as_json=True)
        return Config("blue", say), {"colour": "blue", "check_config": self._is_checking}

    def _load_work(self) -> Work[Config]:
        self.done.append(f"loaded {os.environ['GRPC_VERBOSITY']}")
        return Work(self._check, self._serve)

    def _check(self, config: Config) -> None:
        self.done.append(f"checked {config.colour}")

    async def _serve(self, config: Config) -> None:
        self.done.append(f"served {config.colour}")


@pytest.fixture(autouse=True)
def _no_grpc_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GRPC_VERBOSITY", "GRPC_ENABLE_FORK_SUPPORT"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def collector(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is asked of this process' garbage collector, which stays as it is."""
    asked: list[str] = []
    monkeypatch.setattr("gc.freeze", lambda: asked.append("freeze"))
    monkeypatch.setattr("gc.set_threshold", lambda *_counts: asked.append("threshold"))
    return asked


def test_collections_look_at_no_module_of_a_daemon(collector: list[str]) -> None:
    run_daemon(Program(is_checking=True).daemon, [])
    assert collector == []
    run_daemon(Program().daemon, [])
    assert collector == ["freeze", "threshold"]


def test_a_daemon_loads_the_rest_after_the_environment_and_serves() -> None:
    program = Program()
    assert run_daemon(program.daemon, []) == 0
    assert program.done == ["loaded NONE", "served blue"]


def test_a_check_reads_and_shows_and_serves_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    program = Program(is_checking=True)
    assert run_daemon(program.daemon, []) == 0
    assert program.done == ["loaded NONE", "checked blue"]
    assert '"colour": "blue"' in capsys.readouterr().out


def test_a_wrong_configuration_loads_nothing() -> None:
    program = Program()
    with pytest.raises(InvalidError):
        run_daemon(program.daemon, ["--wrong"])
    assert program.done == []
