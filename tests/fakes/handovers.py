"""Counts operations that were handed to a thread, which costs two wake-ups for each."""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest

from flwr.shell import in_thread


class _CountingPool(ThreadPoolExecutor):
    def __init__(self, pool: ThreadPoolExecutor, names: list[str]) -> None:
        self._real, self._names = pool, names

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        op = fn.args[0] if hasattr(fn, "args") else fn
        self._names.append(getattr(op, "__qualname__", repr(op)))
        return self._real.submit(fn, *args, **kwargs)


@contextmanager
def handed_over() -> Iterator[list[str]]:
    """Yield the names of what is handed to a thread meanwhile."""
    names: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(in_thread, "_POOL", _CountingPool(in_thread._POOL, names))
        yield names
