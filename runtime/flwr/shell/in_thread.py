"""The one bridge from the async shell to the sync core (ADR-0002)."""

import asyncio
import contextvars
import functools
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
K = TypeVar("K")
V = TypeVar("V")

_POOL: Final = ThreadPoolExecutor(max_workers=16, thread_name_prefix="operation")


async def in_thread(op: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run one short synchronous operation (a transaction) off the event loop.

    An operation that has begun is never abandoned half-way: cancelling the caller lets it finish.
    """
    call = functools.partial(contextvars.copy_context().run, op, *args, **kwargs)
    return await asyncio.get_running_loop().run_in_executor(_POOL, call)


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
