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


@contextmanager
def repeated_stop_requests() -> Iterator[tuple[asyncio.Event, asyncio.Event]]:
    """Yield two events: the first request to stop, and the second one, which means at once."""
    loop = asyncio.get_running_loop()
    first, again = asyncio.Event(), asyncio.Event()

    def note() -> None:
        (again if first.is_set() else first).set()

    for number in _STOPPING:
        loop.add_signal_handler(number, note)
    try:
        yield first, again
    finally:
        for number in _STOPPING:
            loop.remove_signal_handler(number)
