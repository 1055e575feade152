"""Taking for a caller who may have gone away meanwhile: nothing that was taken is lost."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

T = TypeVar("T")


class Returning:
    """Calls a taking operation so that what it took is given back if the caller goes away."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Future[Any]] = set()

    async def take(self, take: Awaitable[T], give_back: Callable[[T], Awaitable[None]]) -> T:
        """Return what ``take`` took; if we are cancelled meanwhile, ``give_back`` gets it."""
        taking = asyncio.ensure_future(take)
        try:
            return await asyncio.shield(taking)
        except asyncio.CancelledError:
            returning = asyncio.ensure_future(self._return(taking, give_back))
            self._tasks.add(returning)
            returning.add_done_callback(self._tasks.discard)
            raise

    async def _return(
        self, taking: asyncio.Future[T], give_back: Callable[[T], Awaitable[None]]
    ) -> None:
        await give_back(await taking)
