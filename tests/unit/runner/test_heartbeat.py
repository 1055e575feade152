import asyncio
from datetime import timedelta

import pytest

from flwr.core.errors import FlwrError, UnauthenticatedError, UnavailableError
from flwr.core.limits import CONTACT_LOST
from flwr.runner import heartbeat
from flwr.runner.heartbeat import Lease, LeaseEnd, keep_lease
from tests.fakes.clock import FakeClock


class Daemon:
    """Answers heartbeats from a script; time passes with each of them."""

    def __init__(self, clock: FakeClock, *answers: bool | FlwrError) -> None:
        self._clock, self._answers = clock, list(answers)
        self.asked = 0

    async def heartbeat(self, *, next_in: timedelta) -> bool:
        self.asked += 1
        self._clock.advance(next_in)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, FlwrError):
            raise answer
        return answer


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "APP_HEARTBEAT", timedelta(0))


def test_a_revoked_lease_is_noticed() -> None:
    clock = FakeClock()
    assert asyncio.run(keep_lease(Daemon(clock, True, True, False), clock)) is LeaseEnd.REVOKED


@pytest.mark.row("S63")
def test_a_refused_token_means_the_same() -> None:
    clock, refusal = FakeClock(), UnauthenticatedError("Authentication failed.")
    assert asyncio.run(keep_lease(Daemon(clock, True, refusal), clock)) is LeaseEnd.REVOKED


def test_an_unreachable_daemon_is_forgiven_until_contact_counts_as_lost() -> None:
    clock, away = FakeClock(), UnavailableError("restarting")

    async def scenario() -> LeaseEnd:
        task = asyncio.create_task(keep_lease(Daemon(clock, True, away), clock))
        for _ in range(5):
            await asyncio.sleep(0)
        assert not task.done()
        clock.advance(CONTACT_LOST + timedelta(seconds=1))
        async with asyncio.timeout(60):
            return await task

    assert asyncio.run(scenario()) is LeaseEnd.CONTACT_LOST


def test_what_ends_before_the_first_heartbeat_sends_none() -> None:
    clock = FakeClock()
    daemon = Daemon(clock, False)

    async def scenario() -> None:
        lease = Lease(daemon, clock, first=timedelta(seconds=60))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await asyncio.shield(lease.end)
        assert len(asyncio.all_tasks()) == 1, "it costs a timer, and no task"
        await lease.close()

    asyncio.run(scenario())
    assert daemon.asked == 0


def test_a_lease_tells_its_end_and_can_be_closed_after_it() -> None:
    clock = FakeClock()

    async def scenario() -> LeaseEnd:
        lease = Lease(Daemon(clock, False), clock)
        async with asyncio.timeout(60):
            ending = await lease.end
        await lease.close()
        return ending

    assert asyncio.run(scenario()) is LeaseEnd.REVOKED
