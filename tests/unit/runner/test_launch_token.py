import asyncio
import os
import sys
from pathlib import Path

import pytest

from flwr.runner.app_process import AppProcess
from flwr.runner.launch_token import NotLaunchedError, launch_token
from flwr.shell.children import Child

WAITS = "import time; time.sleep(60)"


async def _token(descriptor: int, code: str = WAITS) -> str:
    child = await Child.start([sys.executable, "-S", "-c", code])
    app = AppProcess(child, None)  # type: ignore[arg-type]  # nobody speaks to it
    try:
        async with asyncio.timeout(60):
            return await launch_token(app, descriptor)
    finally:
        child.signal(9)  # type: ignore[arg-type]
        await child.wait()


@pytest.mark.row("F21")
def test_a_token_is_waited_for_and_read_to_the_end_of_its_line() -> None:
    async def scenario() -> str:
        ours, theirs = os.pipe()
        loop = asyncio.get_running_loop()
        loop.call_later(0.05, os.write, theirs, b"to")
        loop.call_later(0.1, os.write, theirs, b"ken\nwhat else?")
        try:
            return await _token(ours)
        finally:
            os.close(ours)
            os.close(theirs)

    assert asyncio.run(scenario()) == "token"


@pytest.mark.parametrize("ending", ["", "\n"])
def test_a_token_may_come_from_a_file(tmp_path: Path, ending: str) -> None:
    (tmp_path / "token").write_text(f"token{ending}")
    with (tmp_path / "token").open("rb") as file:
        assert asyncio.run(_token(file.fileno())) == "token"


def test_nothing_is_launched_once_nobody_can_tell_a_token_any_more() -> None:
    ours, theirs = os.pipe()
    os.close(theirs)
    try:
        with pytest.raises(NotLaunchedError, match="no launch token"):
            asyncio.run(_token(ours))
    finally:
        os.close(ours)


def test_a_runner_whose_app_has_died_does_not_stand_by() -> None:
    ours, theirs = os.pipe()
    try:
        with pytest.raises(NotLaunchedError, match="exited with code 3"):
            asyncio.run(_token(ours, "raise SystemExit(3)"))
    finally:
        os.close(ours)
        os.close(theirs)
