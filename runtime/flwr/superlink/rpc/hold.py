"""What the held calls of all APIs have in common: metadata in, nothing lost on the way out."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

import grpc

from flwr.core.ids import RunId

T = TypeVar("T")

RpcContext = grpc.aio.ServicerContext[Any, Any]
_MAX_RUNS: Final = 1024  # more than a node can work for at once


def header(rpc: RpcContext, key: str) -> str | None:
    """Return the text of a metadata key, None when it is absent."""
    for name, value in rpc.invocation_metadata() or ():
        if name == key:
            return value if isinstance(value, str) else None
    return None


def run_ids_in(text: str | None) -> list[RunId]:
    """Read a comma list of run ids; what is no number is skipped."""
    parts = (text or "").split(",")[:_MAX_RUNS]
    numbers = [part.strip() for part in parts]
    return [RunId(int(n)) for n in numbers if n.isascii() and n.isdigit() and len(n) < 21]  # noqa: PLR2004 - digits of 2**64


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
