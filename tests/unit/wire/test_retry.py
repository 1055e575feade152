"""Trying again: what, how often, and when not."""

import asyncio
from datetime import timedelta

import pytest

from flwr.core.errors import FlwrError, InvalidError, UnavailableError
from flwr.wire.diagnose import NotServingError, WrongCaError
from flwr.wire.retry import Retry
from tests.fakes.clock import FakeClock


class Server:
    """Fails a number of times, then answers."""

    def __init__(self, *failures: FlwrError) -> None:
        self._failures = list(failures)
        self.calls = 0

    async def call(self) -> str:
        self.calls += 1
        if self._failures:
            raise self._failures.pop(0)
        return "answer"


class Sleeper:
    """Stands in for the event loop's sleep: time passes, the test does not wait."""

    def __init__(self, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock, self.slept = clock, list[float]()
        monkeypatch.setattr("flwr.wire.retry.asyncio.sleep", self.sleep)

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.clock.advance(timedelta(seconds=seconds))


@pytest.fixture
def sleeper(monkeypatch: pytest.MonkeyPatch) -> Sleeper:
    return Sleeper(FakeClock(), monkeypatch)


def gone(count: int) -> list[FlwrError]:
    return [UnavailableError("gone") for _ in range(count)]


def test_pauses_double_up_to_the_cap(sleeper: Sleeper) -> None:
    server = Server(*gone(9))
    retry = Retry(clock=sleeper.clock, uniform=lambda _low, high: high)

    assert asyncio.run(retry.call(server.call)) == "answer"

    assert sleeper.slept == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 20, 20])


def test_pauses_are_jittered_downwards_by_half_at_most(sleeper: Sleeper) -> None:
    server = Server(*gone(2))
    retry = Retry(clock=sleeper.clock, uniform=lambda low, _high: low)

    asyncio.run(retry.call(server.call))

    assert sleeper.slept == pytest.approx([0.1, 0.2])


def test_only_unavailable_is_tried_again(sleeper: Sleeper) -> None:
    server = Server(InvalidError("bad"))

    with pytest.raises(InvalidError):
        asyncio.run(Retry(clock=sleeper.clock).call(server.call))

    assert server.calls == 1


def test_the_deadline_covers_all_attempts(sleeper: Sleeper) -> None:
    server = Server(*gone(1000))
    retry = Retry(deadline=timedelta(seconds=60), clock=sleeper.clock)

    with pytest.raises(UnavailableError):
        asyncio.run(retry.call(server.call))

    assert sum(sleeper.slept) == pytest.approx(60)


def test_each_pause_is_reported_with_its_cause(sleeper: Sleeper) -> None:
    told: list[tuple[str, timedelta]] = []
    retry = Retry(
        clock=sleeper.clock,
        uniform=lambda _low, high: high,
        on_wait=lambda error, pause: told.append((error.message, pause)),
    )

    asyncio.run(retry.call(Server(*gone(1)).call))

    assert told == [("gone", timedelta(seconds=0.2))]


@pytest.mark.row("S31")
@pytest.mark.parametrize(
    ("text", "calls"), [("Ssl handshake failed: CERTIFICATE_VERIFY_FAILED", 1), ("reset", 3)]
)
def test_a_tls_mismatch_is_raised_instead_of_tried_again(
    sleeper: Sleeper, text: str, calls: int
) -> None:
    server = Server(*[UnavailableError(text) for _ in range(10)])
    retry = Retry(clock=sleeper.clock, explain=lambda: WrongCaError("host:1", "self-signed"))

    with pytest.raises(WrongCaError):
        asyncio.run(retry.call(server.call))

    assert server.calls == calls


def test_a_server_that_only_is_not_there_is_tried_again(sleeper: Sleeper) -> None:
    asked: list[bool] = []

    def explain() -> FlwrError:
        asked.append(True)
        return NotServingError("host:1")

    server = Server(*gone(5))

    asyncio.run(Retry(clock=sleeper.clock, explain=explain).call(server.call))

    assert server.calls == 6
    assert len(asked) == 1


def test_a_waiting_call_can_be_cancelled() -> None:
    async def cancel() -> None:
        waiting = asyncio.Event()
        retry = Retry(on_wait=lambda _error, _pause: waiting.set())
        task = asyncio.create_task(retry.call(Server(*gone(100)).call))
        await waiting.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
