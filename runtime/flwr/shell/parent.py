"""Noticing that the process we serve has ended, without asking every 0.2 s."""

import asyncio
import os
from typing import Final

_PID_CHECK_S: Final = 0.5  # only where the kernel has no pidfd


async def until_parent_exits(pid: int) -> None:
    """Return once process ``pid`` no longer exists."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    except (OSError, AttributeError):
        await _until_gone_by_checking(pid)
        return
    gone = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_reader(descriptor, gone.set)
    try:
        await gone.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


async def _until_gone_by_checking(pid: int) -> None:
    while True:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return
        except PermissionError:
            pass
        await asyncio.sleep(_PID_CHECK_S)
