import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from flwr.shell import health as subject
from flwr.shell.health import told
from flwr.shell.health_settings import HealthConfig
from flwr.shell.settings import ConfigError
from flwr.wire.health import Health


def scenario(body: Callable[[Health], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await body(Health())

    asyncio.run(bounded())


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(10_000):
        if holds():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not come true")


def test_the_file_is_there_while_the_program_serves_and_gone_otherwise(tmp_path: Path) -> None:
    file = tmp_path / "health"

    async def body(health: Health) -> None:
        async with told(health, HealthConfig(file=file)):
            assert not file.exists(), "it does not serve yet"
            health.set_serving()
            await until(file.exists)
            health.set_not_serving()
            await until(lambda: not file.exists())
            health.set_serving()
            await until(file.exists)
        assert not file.exists()

    scenario(body)


def test_the_file_stays_young_as_long_as_the_event_loop_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "health"
    monkeypatch.setattr(subject, "TOUCH_PERIOD", subject.TOUCH_PERIOD / 100)

    async def body(health: Health) -> None:
        async with told(health, HealthConfig(file=file)):
            health.set_serving()
            await until(file.exists)
            os.utime(file, (1, 1))
            await until(lambda: file.stat().st_mtime > 1)

    scenario(body)


def test_a_file_of_an_earlier_life_says_nothing(tmp_path: Path) -> None:
    file = tmp_path / "health"
    file.touch()

    async def body(health: Health) -> None:
        async with told(health, HealthConfig(file=file)):
            assert not file.exists()

    scenario(body)


@pytest.mark.parametrize("inside", ["missing", "link"])
def test_a_file_that_cannot_be_written_is_said_at_the_start(tmp_path: Path, inside: str) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    file = tmp_path / "missing" / "health" if inside == "missing" else tmp_path / "link"

    async def body(health: Health) -> None:
        async with told(health, HealthConfig(file=file)):
            pass

    with pytest.raises(ConfigError, match="--health-file") as caught:
        scenario(body)
    assert "may write" in caught.value.hint
    assert not (tmp_path / "elsewhere").exists()


def test_file_and_port_tell_the_same_state(tmp_path: Path) -> None:
    async def body(health: Health) -> None:
        async with told(health, HealthConfig(address="127.0.0.1:0", file=tmp_path / "health")):
            health.tell(is_serving=True)
            assert health.is_serving
            await until((tmp_path / "health").exists)

    scenario(body)
