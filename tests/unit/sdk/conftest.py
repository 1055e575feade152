from collections.abc import Iterator
from pathlib import Path

import pytest

from flwr.control.connection import Connection
from flwr.core.errors import UnavailableError
from flwr.sdk import SuperLink
from tests.fakes.clock import FakeClock
from tests.fakes.control import FakeControl
from tests.unit.fab import given

CONNECTION = Connection(name="test", address="127.0.0.1:9093", insecure=True, source="test")


@pytest.fixture
def control() -> FakeControl:
    return FakeControl(loss=UnavailableError("connection lost"))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def link(control: FakeControl, clock: FakeClock) -> Iterator[SuperLink]:
    with SuperLink(CONNECTION, connect=control.connect, clock=clock) as opened:
        yield opened


@pytest.fixture
def app(tmp_path: Path) -> Path:
    return given.app(tmp_path / "app")


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FLWR_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "home"
