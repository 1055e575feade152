"""Bounded parallel transfers that fail with the cause, not with a group of exceptions."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from flwr.shell.exits import first_expected


async def all_of(work: Callable[[], Coroutine[Any, Any, None]], times: int) -> None:
    """Run ``work`` several times side by side; the first failure stops the rest.

    Raises:
        FlwrError: the first expected failure.
    """
    try:
        async with asyncio.TaskGroup() as tasks:
            for _ in range(times):
                tasks.create_task(work())
    except BaseExceptionGroup as group:
        expected = first_expected(group)
        if expected is None:
            raise
        raise expected from group
