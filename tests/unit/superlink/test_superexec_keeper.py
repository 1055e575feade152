import asyncio
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from flwr.superlink.superexec_keeper import SuperExecKeeper, environment, superexec_argv
from tests.fakes.clock import FakeClock


class FakeChild:
    def __init__(self, *, dies: bool) -> None:
        self.died = asyncio.Event()
        self.stopped = False
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


@pytest.mark.row("F7", "S6")
def test_a_superexec_that_dies_is_started_again_and_stopped_with_us() -> None:
    async def body() -> None:
        children: list[FakeChild] = []
        second = asyncio.Event()

        async def start(argv: Sequence[str], env: Mapping[str, str]) -> FakeChild:
            assert list(argv) == ["superexec"]
            children.append(FakeChild(dies=not children))
            if len(children) == 2:
                second.set()
            return children[-1]

        keeper = asyncio.ensure_future(
            SuperExecKeeper(["superexec"], FakeClock(), start=start).run()
        )
        async with asyncio.timeout(5):
            await second.wait()
        await asyncio.sleep(0)
        keeper.cancel()
        await asyncio.gather(keeper, return_exceptions=True)
        assert [child.stopped for child in children] == [True, True]

    asyncio.run(body())


@pytest.mark.row("S54")
def test_the_superexec_inherits_none_of_our_settings() -> None:
    ours = {"PATH": "/bin", "FLWR_SUPERLINK_DATABASE": "secret", "FLWR_HOME": "/h"}
    assert environment(ours) == {"PATH": "/bin", "FLWR_HOME": "/h"}


def test_the_command_line_holds_paths_and_no_secret() -> None:
    argv = superexec_argv("127.0.0.1:9091", root_certificates=Path("/c"), secret=Path("/s"))
    assert "--insecure" not in argv
    assert argv[argv.index("--root-certificates") + 1] == "/c"
    assert argv[argv.index("--superexec-auth-secret-file") + 1] == "/s"
    assert "--insecure" in superexec_argv("a:1", root_certificates=None, secret=None)
