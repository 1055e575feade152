import logging
import random

import pytest

from flwr.serverapp.strategy.cohort import sample_nodes, wait_for_nodes
from tests.unit.serverapp.fake_grid import FakeGrid


def grid(nodes: int) -> FakeGrid:
    return FakeGrid(nodes, lambda _: None)


def test_a_sample_is_taken_among_all_online() -> None:
    the_grid = grid(10)

    cohort, online = sample_nodes(the_grid, 2, 4, pace=the_grid.pace)

    assert len(set(cohort)) == 4
    assert set(cohort) <= set(online) == set(the_grid.nodes)


def test_a_seeded_sample_repeats() -> None:
    the_grid = grid(10)

    samples = []
    for _ in range(2):
        random.seed(3)
        samples.append(sample_nodes(the_grid, 2, 4)[0])

    assert samples[0] == samples[1]


def test_enough_nodes_are_not_waited_for(caplog: pytest.LogCaptureFixture) -> None:
    the_grid = grid(2)

    with caplog.at_level(logging.INFO, "flwr"):
        assert wait_for_nodes(the_grid, 2, pace=the_grid.pace) == [101, 102]

    assert the_grid.pauses == []
    assert caplog.messages == []


def test_waiting_pauses_grow_and_log_at_once_and_every_ten_seconds(
    caplog: pytest.LogCaptureFixture,
) -> None:
    the_grid = grid(1)

    def join() -> None:
        if the_grid.clock.monotonic() > 25:
            the_grid.nodes.append(202)

    the_grid.on_pause = join
    with caplog.at_level(logging.INFO, "flwr"):
        assert len(wait_for_nodes(the_grid, 2, pace=the_grid.pace)) == 2

    assert the_grid.pauses[:3] == pytest.approx([0.05, 0.075, 0.1125])
    assert the_grid.pauses[-1] == 1
    line = "Waiting for nodes to connect: 1 connected (minimum required: 2)."
    assert caplog.messages == [line] * 3


def test_the_larger_of_sample_and_minimum_is_waited_for() -> None:
    the_grid = grid(3)
    the_grid.on_pause = lambda: the_grid.nodes.append(200 + len(the_grid.nodes))

    _, online = sample_nodes(the_grid, 5, 2, pace=the_grid.pace)

    assert len(online) == 5
