import asyncio
import os
import signal
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from flwr.core.lease import AppKind
from flwr.shell.superexec import SuperExecKeeper, superexec_argv, superexec_environment
from flwr.superexec.config import load_config
from tests.fakes.clock import FakeClock


class FakeChild:
    def __init__(self, *, dies: bool) -> None:
        self.died = asyncio.Event()
        self.stopped = False
        self.signals: list[signal.Signals] = []
        if dies:
            self.died.set()

    async def wait(self) -> int:
        await self.died.wait()
        return -9

    def cause_of_exit(self) -> str:
        return "was killed by SIGKILL"

    async def stop(self, grace: timedelta) -> int:
        self.stopped = True
        return 0

    def signal(self, number: signal.Signals) -> None:
        self.signals.append(number)


@pytest.mark.row("F7", "S6")
def test_a_superexec_that_dies_is_started_again_and_stopped_with_us() -> None:
    async def body() -> None:
        children: list[FakeChild] = []
        second = asyncio.Event()
        causes: list[str] = []

        async def start(argv: Sequence[str], env: Mapping[str, str]) -> FakeChild:
            assert list(argv) == ["superexec"]
            children.append(FakeChild(dies=not children))
            if len(children) == 2:
                second.set()
            return children[-1]

        async def note(cause: str) -> None:
            causes.append(cause)

        keeper = asyncio.ensure_future(
            SuperExecKeeper(["superexec"], FakeClock(), on_end=note, start=start).run()
        )
        async with asyncio.timeout(60):
            await second.wait()
        await asyncio.sleep(0)
        keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)
        assert [child.stopped for child in children] == [True, True]
        assert causes == ["was killed by SIGKILL"]  # of the first; we ended the second

    asyncio.run(body())


@pytest.mark.row("F42", "F44")
@pytest.mark.parametrize("apps_live_on", [True, False])
def test_a_superexec_whose_apps_live_on_is_not_asked_to_end_them(apps_live_on: bool) -> None:
    async def body() -> None:
        child, started = FakeChild(dies=False), asyncio.Event()

        async def start(argv: Sequence[str], env: Mapping[str, str]) -> FakeChild:
            started.set()
            return child

        keeper = SuperExecKeeper(["x"], FakeClock(), start=start, apps_live_on=apps_live_on)
        keeping = asyncio.ensure_future(keeper.run())
        await started.wait()
        await asyncio.sleep(0)
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        assert child.signals == ([signal.SIGKILL] if apps_live_on else [])
        assert child.stopped

    asyncio.run(body())


@pytest.mark.row("F7")
def test_a_superexec_that_cannot_be_started_now_is_tried_again() -> None:
    async def body() -> None:
        tries: list[FakeChild] = []
        started = asyncio.Event()

        async def start(argv: Sequence[str], env: Mapping[str, str]) -> FakeChild:
            tries.append(FakeChild(dies=False))
            if len(tries) == 1:
                raise BlockingIOError("Resource temporarily unavailable")
            started.set()
            return tries[-1]

        keeper = asyncio.ensure_future(SuperExecKeeper(["x"], FakeClock(), start=start).run())
        async with asyncio.timeout(60):
            await started.wait()
        keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)

    asyncio.run(body())


@pytest.mark.row("S54")
def test_the_superexec_inherits_no_settings_of_its_daemon() -> None:
    ours = {"PATH": "/bin", "FLWR_HOME": "/h"}
    secrets = {"FLWR_SUPERLINK_DATABASE": "secret", "FLWR_SUPERNODE_STATE_DIR": "/x"}
    assert superexec_environment(ours | secrets) == ours


def test_the_command_line_holds_paths_and_no_secret() -> None:
    argv = superexec_argv(
        "127.0.0.1:9094",
        AppKind.CLIENTAPP,
        max_apps=3,
        root_certificates=Path("/c"),
        secret=Path("/s"),
        flags=["--app-start", "fresh"],
    )
    config, _ = load_config(argv[3:], env={})
    assert config.address == "127.0.0.1:9094"
    assert config.kind is AppKind.CLIENTAPP
    assert config.room.apps == 3
    assert not config.starts_warm
    assert config.parent_pid == os.getpid()
    assert config.root_certificates == Path("/c")
    assert config.secret_file == Path("/s")


def test_clear_text_is_said_never_left_out() -> None:
    argv = superexec_argv("a:1", AppKind.SERVERAPP, root_certificates=None, secret=None)
    config, _ = load_config(argv[3:], env={})
    assert config.root_certificates is None
    assert config.secret_file is None
