from datetime import timedelta

import pytest

from flwr.core.clock import SteadyClock
from tests.fakes.clock import FakeClock


class Machine(FakeClock):
    """A machine whose wall clock somebody may set."""

    def set_by(self, step: timedelta) -> None:
        self._now += step


def test_a_steady_clock_runs_with_the_machine() -> None:
    machine = Machine()
    clock = SteadyClock(machine)
    machine.advance(timedelta(hours=3))
    assert clock.now() == machine.now()
    assert clock.monotonic() == machine.monotonic()


@pytest.mark.row("F18")
@pytest.mark.parametrize("step", [timedelta(hours=1), timedelta(hours=-1)])
def test_a_step_of_the_wall_clock_is_followed_slowly(step: timedelta) -> None:
    machine = Machine()
    clock = SteadyClock(machine)
    before = clock.now()

    machine.set_by(step)
    assert clock.now() == before
    machine.advance(timedelta(seconds=10))
    assert abs((clock.now() - before) - timedelta(seconds=10)) <= timedelta(seconds=1)

    machine.advance(timedelta(hours=11))
    assert clock.now() == machine.now()
