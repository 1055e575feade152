"""Where operations run: on the loop while that is quick, else in a thread."""

import asyncio
import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import pytest

from flwr.shell.in_thread import AtOnce, call_soon, in_thread
from tests.fakes.handovers import handed_over

_caller: ContextVar[str] = ContextVar("caller", default="nobody")


def where() -> tuple[int, str]:
    return threading.get_ident(), _caller.get()


def fail() -> None:
    raise LookupError("no")


@pytest.mark.parametrize("is_quick", [True, False])
def test_an_operation_runs_here_only_while_that_is_quick(is_quick: bool) -> None:
    async def body() -> None:
        _caller.set("me")
        with handed_over() as names:
            thread, caller = await AtOnce(lambda: is_quick)(where)
            assert caller == "me"
            assert (thread == threading.get_ident()) is is_quick
            with pytest.raises(LookupError):
                await AtOnce(lambda: is_quick)(fail)
        assert names == ([] if is_quick else ["where", "fail"])

    asyncio.run(body())


def test_the_loop_wakes_itself_for_other_threads_only(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body() -> None:
        loop = asyncio.get_running_loop()
        woken: list[object] = []
        heard: list[str] = []
        real = loop.call_soon_threadsafe

        def wake(
            callback: Callable[..., object], *args: Any, context: Any = None
        ) -> asyncio.Handle:
            if callback == heard.append:
                woken.append(args)
            return real(callback, *args, context=context)

        monkeypatch.setattr(loop, "call_soon_threadsafe", wake)
        call_soon(loop, heard.append, "mine")
        await in_thread(call_soon, loop, heard.append, "theirs")
        await asyncio.sleep(0)
        assert heard == ["mine", "theirs"]
        assert woken == [("theirs",)]

    asyncio.run(body())


def test_a_loop_that_has_ended_is_left_alone() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    call_soon(loop, pytest.fail, "nobody runs it")
