"""Starting a real runner against a stand-in daemon, and waiting for its end."""

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from tests.unit.runner.appio_server import TOKEN, AppIoServer


@dataclass
class Ended:
    """A runner that has exited."""

    exit_code: int
    stderr: str


async def start_runner(server: AppIoServer, home: Path) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", f"flwr.runner.{server.kind}_main"),
        *(f"--{server.kind}io-api-address", server.address, "--insecure", "--token-stdin"),
        env={**os.environ, "FLWR_HOME": str(home), "FLWR_SECRET": "hidden"},
        stdin=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdin is not None
    process.stdin.write(TOKEN.encode() + b"\n")
    process.stdin.close()
    return process


async def ended(process: asyncio.subprocess.Process, within_s: float = 90) -> Ended:
    try:
        async with asyncio.timeout(within_s):
            _, stderr = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.wait()
        raise
    assert process.returncode is not None
    return Ended(process.returncode, stderr.decode())


def launch(
    server: AppIoServer,
    home: Path,
    meanwhile: Callable[[asyncio.subprocess.Process], Awaitable[None]] | None = None,
    *,
    within_s: float = 90,
) -> Ended:
    """Run one launch to its end; ``meanwhile`` interferes."""

    async def scenario() -> Ended:
        async with server.serving():
            process = await start_runner(server, home)
            if meanwhile is not None:
                await meanwhile(process)
            return await ended(process, within_s)

    return asyncio.run(scenario())
