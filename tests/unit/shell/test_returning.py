import asyncio

import pytest

from flwr.shell.returning import Returning


@pytest.mark.row("F2")
def test_what_was_taken_for_a_caller_that_went_away_is_given_back() -> None:
    async def body() -> None:
        took, given_back = asyncio.Event(), asyncio.Event()
        returned: list[str] = []

        async def take() -> str:
            await took.wait()
            return "instruction"

        async def give_back(what: str) -> None:
            returned.append(what)
            given_back.set()

        call = asyncio.ensure_future(Returning().take(take(), give_back))
        await asyncio.sleep(0)
        call.cancel()
        await asyncio.sleep(0)
        took.set()
        async with asyncio.timeout(60):
            await given_back.wait()
        assert returned == ["instruction"]
        assert call.cancelled()

    asyncio.run(body())
