"""The launch token, awaited: a runner may stand by before there is a launch for it.

Standard input tells it, one line.  Its end without one says that there will be no launch: whoever
would have written it has gone.
"""

import asyncio
import os
from typing import Final

from flwr.runner.app_process import AppProcess

_MOST_BYTES: Final = 4096


class NotLaunchedError(Exception):
    """There is nothing to run; the text says why."""


async def launch_token(app: AppProcess, descriptor: int) -> str:
    """Return what the first line that comes from ``descriptor`` says.

    Args:
        app: the process that would be launched.
        descriptor: a pipe, a terminal or a file.

    Raises:
        NotLaunchedError: no token came, or the process has ended before it did.
    """
    exited = asyncio.ensure_future(app.child.wait())
    reading = asyncio.create_task(_first_line(descriptor))
    try:
        await asyncio.wait([exited, reading], return_when=asyncio.FIRST_COMPLETED)
        if not reading.done():
            raise NotLaunchedError(f"the app's process {app.child.cause_of_exit()}")
        if not (token := reading.result().strip()):
            raise NotLaunchedError("standard input holds no launch token")
        return token.decode("ascii", "replace")
    finally:
        exited.cancel()
        reading.cancel()
        await asyncio.gather(exited, reading, return_exceptions=True)


async def _first_line(descriptor: int) -> bytes:
    said = b""
    while b"\n" not in said and len(said) < _MOST_BYTES:
        await _until_readable(descriptor)
        if not (piece := os.read(descriptor, _MOST_BYTES)):
            break
        said += piece
    return said.partition(b"\n")[0]


async def _until_readable(descriptor: int) -> None:
    loop, readable = asyncio.get_running_loop(), asyncio.Event()
    try:
        loop.add_reader(descriptor, readable.set)
    except PermissionError:  # a file, which keeps nobody waiting
        return
    try:
        await readable.wait()
    finally:
        loop.remove_reader(descriptor)
