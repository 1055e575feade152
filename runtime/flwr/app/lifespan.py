"""Lifespan of an app: user code that runs around each call of a ServerApp or ClientApp."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Final

from flwr.app.context import Context

Lifespan = Callable[[Context], Iterator[None]]
"""A generator function that yields once: before is set-up, after is tear-down."""

_NOTHING: Final = nullcontext()


def entered(lifespan: Lifespan | None, context: Context) -> AbstractContextManager[None]:
    """Run ``lifespan`` up to its yield, then the body, then the rest, whatever the body raised.

    Raises:
        RuntimeError: the function does not yield exactly once.
    """
    return _NOTHING if lifespan is None else _entered(lifespan, context)


@contextmanager
def _entered(lifespan: Lifespan, context: Context) -> Iterator[None]:
    steps: object = lifespan(context)
    if not isinstance(steps, Iterator) or _is_over(steps):
        raise RuntimeError("a lifespan function yields at least once, this one never did")
    try:
        yield
    finally:
        if not _is_over(steps):
            raise RuntimeError("a lifespan function may only yield once, this one yielded again")


def _is_over(steps: Iterator[None]) -> bool:
    over = object()
    return next(steps, over) is over
