import asyncio
from datetime import timedelta

import pytest

from flwr.core.clock import SystemClock
from flwr.supernode.pulse import Pulse
from flwr.supernode.upkeep import EndedRuns, Reaper
from tests.unit.supernode.given import Site, scenario


@pytest.mark.row("S3", "S17")
def test_an_idle_node_keeps_polling_and_heartbeating() -> None:
    """Only calls of its own keep it reachable: nobody can call a node behind NAT."""

    async def body() -> None:
        site = Site()
        site.connect()
        site.session.pulse = Pulse(SystemClock(), timedelta(milliseconds=100))
        working = [
            asyncio.create_task(work)
            for work in (
                site.inbox.run(),
                site.outbox.run(),
                site.session.heartbeats(),
                Reaper(site.leases, site.wakeups, site.clock).run(),
                EndedRuns(site.session, site.runs, site.inbox).run(),
            )
        ]
        await site.fleet.until(
            lambda: site.fleet.calls["pull_messages"] >= 3 and site.fleet.calls["heartbeat"] >= 10
        )
        assert not any(task.done() for task in working)
        assert set(site.fleet.calls) == {"pull_messages", "heartbeat"}
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)

    scenario(body)
