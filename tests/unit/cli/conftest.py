import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flwr.cli.environment import Environment
from flwr.cli.main import main
from flwr.core.errors import UnavailableError
from tests.fakes.clock import FakeClock
from tests.fakes.control import FakeControl
from tests.unit.fab import given


@dataclass(frozen=True)
class Outcome:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found


Flwr = Callable[..., Outcome]


@pytest.fixture
def control() -> FakeControl:
    return FakeControl(loss=UnavailableError("connection lost"))


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def environment(tmp_path: Path, control: FakeControl, pauses: list[float]) -> Environment:
    return Environment(
        home=tmp_path / "home",
        clock=FakeClock(),
        pause=pauses.append,
        connect=control.connect,
    )


@pytest.fixture
def app(tmp_path: Path) -> Path:
    return given.app(tmp_path / "app")


@pytest.fixture
def flwr(
    environment: Environment,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Flwr:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str | Path) -> Outcome:
        with pytest.raises(SystemExit) as end:
            main([str(each) for each in arguments], environment)
        captured = capsys.readouterr()
        return Outcome(int(end.value.code or 0), captured.out, captured.err)

    return run


HERE = ("--superlink", "127.0.0.1:9093", "--insecure")
"""Flags that name a SuperLink without any file (S58)."""
