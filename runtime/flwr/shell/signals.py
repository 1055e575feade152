"""Stopping on request: SIGTERM and SIGINT become one awaitable."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_STOPPING: Final = (signal.SIGTERM, signal.SIGINT)


@contextmanager
def stop_requests() -> Iterator[asyncio.Event]:
    """Yield an event that is set by the first SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in _STOPPING:
        loop.add_signal_handler(number, stop.set)
    try:
        yield stop
    finally:
        for number in _STOPPING:
            loop.remove_signal_handler(number)


async def until_stopped() -> None:
    """Return at the first SIGTERM or SIGINT."""
    with stop_requests() as stop:
        await stop.wait()
