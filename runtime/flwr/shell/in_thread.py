"""The one bridge from the async shell to the sync core (ADR-0002)."""

import asyncio
import contextvars
import functools
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar, TypeVarTuple

P = ParamSpec("P")
T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")
Ts = TypeVarTuple("Ts")

_POOL: Final = ThreadPoolExecutor(max_workers=16, thread_name_prefix="operation")


async def in_thread(op: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run one short synchronous operation (a transaction) off the event loop.

    An operation that has begun is never abandoned half-way: cancelling the caller lets it finish.
    """
    call = functools.partial(contextvars.copy_context().run, op, *args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(_POOL, call)


class AtOnce:
    """Runs small operations where they are asked for while that is quick, else ``in_thread``.

    A hand-over to another thread and back costs more than a small transaction: two wake-ups, cold
    caches, and a turn of the loop.  While an operation runs here the loop does nothing else, so
    this is for operations of a few messages, and for a store that answers at once.
    """

    def __init__(self, is_quick: Callable[[], bool]) -> None:
        """Ask ``is_quick`` before each operation."""
        self._is_quick = is_quick

    @property
    def is_quick(self) -> bool:
        """True while a small operation may run on the loop."""
        return self._is_quick()

    async def __call__(self, op: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run one small operation."""
        if self._is_quick():
            return op(*args, **kwargs)
        return await in_thread(op, *args, **kwargs)


NEVER_AT_ONCE: Final = AtOnce(lambda: False)
"""Hands every operation over."""


def call_soon(
    loop: asyncio.AbstractEventLoop, callback: Callable[[*Ts], object], *args: *Ts
) -> None:
    """Have a loop call something, from any thread; the loop's own one need not wake it."""
    if asyncio._get_running_loop() is loop:  # noqa: SLF001 - public; the other one raises
        loop.call_soon(callback, *args)
    elif not loop.is_closed():
        loop.call_soon_threadsafe(callback, *args)


def threaded(op: Callable[P, T]) -> Callable[P, Awaitable[T]]:
    """Return ``op`` as an asynchronous function that runs it ``in_thread``."""
    return functools.partial(in_thread, op)


def looked_up(
    recall: Callable[[K], V | None], find: Callable[[K], V | None]
) -> Callable[[K], Awaitable[V | None]]:
    """Return a lookup that needs a thread only for what is not in memory.

    Args:
        recall: answers from memory, None when it cannot.
        find: answers always, perhaps after a transaction.
    """

    async def look(key: K) -> V | None:
        known = recall(key)
        return known if known is not None else await in_thread(find, key)

    return look
