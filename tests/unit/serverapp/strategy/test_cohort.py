import logging
import random
from collections.abc import Iterable

import pytest

from flwr.serverapp.strategy import FedAvg
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


def test_who_was_just_seen_is_not_asked_for_again_if_they_are_enough(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    the_grid, asked = grid(3), []
    real = the_grid.get_node_ids

    def ask() -> Iterable[int]:
        asked.append(1)
        return real()

    monkeypatch.setattr(the_grid, "get_node_ids", ask)
    FedAvg(fraction_train=1.0, min_train_nodes=2, min_available_nodes=2)._sample(
        "configure_train", the_grid, 1.0, 2
    )
    assert len(asked) == 1
    assert len(sample_nodes(the_grid, 3, 2, seen=[101, 102], pace=the_grid.pace)[1]) == 3
    assert len(asked) == 2
