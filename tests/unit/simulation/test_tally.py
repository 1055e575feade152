import logging
from datetime import timedelta

import pytest

from flwr.serverapp.strategy import progress
from flwr.simulation.tally import Standing, Tally
from tests.fakes.clock import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def answer(tally: Tally, count: int, *, is_error: bool = False) -> None:
    for _ in range(count):
        tally.answer(is_error=is_error)


def test_a_line_tells_round_clients_rate_and_failures(clock: FakeClock) -> None:
    tally = Tally()
    standing = Standing(tally, clock)
    logger = logging.getLogger("flwr")
    logger.addHandler(standing)
    level = logger.level
    logger.setLevel(logging.INFO)
    try:
        progress.log_round(2, 3)
    finally:
        logger.setLevel(level)
        logger.removeHandler(standing)
    tally.expect(1000)
    answer(tally, 340)
    clock.advance(timedelta(seconds=2))
    assert standing.line() == "round 2/3 · 340/1000 clients · 170 clients/s"
    answer(tally, 3, is_error=True)
    assert standing.line().endswith("343/1000 clients · 172 clients/s · 3 failed")


def test_each_half_of_a_round_counts_from_its_beginning() -> None:
    tally = Tally()
    for _ in range(2):
        tally.expect(10)
        answer(tally, 10)
        assert tally.step == (10, 10)
    tally.expect(5)
    answer(tally, 1)
    tally.expect(5)  # an app that sends before all is answered
    assert tally.step == (1, 10)
    assert tally.answered == 21


def test_the_rate_is_that_of_the_last_while(clock: FakeClock) -> None:
    tally = Tally()
    standing = Standing(tally, clock)
    for _ in range(30):
        answer(tally, 100)
        clock.advance(timedelta(seconds=1))
        standing.look()
    for _ in range(12):
        clock.advance(timedelta(seconds=1))
        rate = standing.look()
    assert rate < 1
