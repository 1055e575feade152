"""The one bridge from the async shell to the sync core (ADR-0002)."""

import asyncio
import contextvars
import functools
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, Protocol, TypeVar, TypeVarTuple

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


GATHERED_S: Final = 0.004
"""How long a commit that only its caller waits for may wait for others, to share their disk."""


class Ledger(Protocol):
    """A store, as far as it is known here: its operations write, and writing waits for a disk."""

    @property
    def is_quick(self) -> bool:
        """True while a small operation is over before another thread would have begun it."""

    @property
    def settles_quickly(self) -> bool:
        """True while ``settle`` is over so soon."""

    def postponed(self, op: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> tuple[T, int]:
        """Run an operation; return its result, and the commit that has to be settled first."""

    @property
    def is_urgent(self) -> bool:
        """True while somebody besides its caller waits for a commit to be settled."""

    def is_settled(self, commit: int) -> bool:
        """Tell whether a commit is settled."""

    def settle(self) -> None:
        """Wait until every commit there is by now is settled."""


class AtOnce:
    """Runs small operations where they are asked for while that is quick, else ``in_thread``.

    A hand-over to another thread and back costs more than a small transaction: two wake-ups, cold
    caches, and a turn of the loop.  While an operation runs here the loop does nothing else, so
    this is for operations of a few messages, and for a store that answers at once.  The disk is
    waited for by a thread, for all operations that came together.
    """

    def __init__(self, store: Ledger | None) -> None:
        """Ask ``store`` before each operation; None hands every operation over."""
        self._store = store
        self._settling: asyncio.Future[None] | None = None

    @property
    def is_quick(self) -> bool:
        """True while a small operation may run on the loop."""
        return self._store is not None and self._store.is_quick

    async def __call__(self, op: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run one small operation."""
        result, commit = await self.owing(op, *args, **kwargs)
        if commit:
            await self.settle(commit)
        return result

    async def owing(self, op: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> tuple[T, int]:
        """Run one small operation, for a caller that need not be answered at once.

        Returns:
            What it returned, and the commit that is to be settled before anybody is told; or 0.
        """
        store = self._store
        if store is None or not store.is_quick:
            return await in_thread(op, *args, **kwargs), 0
        return store.postponed(op, *args, **kwargs)

    def is_settled(self, commit: int) -> bool:
        """Tell whether a commit that was owed is settled by now, by whomever."""
        return not commit or (self._store is not None and self._store.is_settled(commit))

    async def settle(self, commit: int) -> None:
        """Wait until a commit that was owed is settled, with others that are."""
        if self._store is not None:
            await self._settle(self._store, commit)

    async def _settle(self, store: Ledger, commit: int) -> None:
        if store.settles_quickly:
            store.settle()
        elif not store.is_urgent:
            await asyncio.sleep(GATHERED_S)
        while not store.is_settled(commit):
            if self._settling is None or self._settling.done():  # to await it would not yield
                loop = asyncio.get_running_loop()
                self._settling = loop.run_in_executor(_POOL, store.settle)
                self._settling.add_done_callback(self._settled)
            await asyncio.shield(self._settling)  # others wait for it too

    def _settled(self, settling: "asyncio.Future[None]") -> None:
        if self._settling is settling:
            self._settling = None
        if not settling.cancelled():
            settling.exception()  # seen: who waited for it may be gone


NEVER_AT_ONCE: Final = AtOnce(None)
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
