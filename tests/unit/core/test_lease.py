from datetime import timedelta

from flwr.core.ids import RunId
from flwr.core.lease import AppKind, Lease, heard
from flwr.core.limits import APP_HEARTBEAT, APP_PATIENCE, LEASE_AFTER_HEARTBEAT
from tests.fakes.clock import FakeClock


def lease(clock: FakeClock, lives: timedelta) -> Lease:
    return Lease(
        token_hash="h",
        kind=AppKind.CLIENTAPP,
        run_id=RunId(1),
        message_id=None,
        granted_at=clock.now(),
        until=clock.now() + lives,
    )


def test_who_promises_to_be_heard_soon_is_missed_soon(clock: FakeClock) -> None:
    long = lease(clock, timedelta(hours=1))
    soon = heard(long, at=clock.now(), next_in=APP_HEARTBEAT)
    assert soon.until == clock.now() + APP_PATIENCE
    slow = heard(long, at=clock.now(), next_in=timedelta(seconds=30))
    assert slow.until == clock.now() + timedelta(seconds=150)
    quick = heard(long, at=clock.now(), next_in=timedelta(milliseconds=1))
    assert quick.until == clock.now() + timedelta(seconds=1)


def test_who_promises_nothing_only_ever_gets_longer(clock: FakeClock) -> None:
    long = lease(clock, timedelta(hours=1))
    assert heard(long, at=clock.now(), next_in=None) == long
    clock.advance(timedelta(minutes=59, seconds=59))
    later = heard(long, at=clock.now(), next_in=None)
    assert later.until == clock.now() + LEASE_AFTER_HEARTBEAT
