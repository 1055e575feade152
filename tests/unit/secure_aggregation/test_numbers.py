import pytest
from hypothesis import given
from hypothesis import strategies as st

from flwr.server.workflow.secure_aggregation.numbers import (
    modulus_for,
    share_count,
    share_threshold,
)
from flwr.server.workflow.secure_aggregation.ring import neighbours


@pytest.mark.parametrize(
    ("wanted", "clients", "shares"),
    [
        (1.0, 2, 2),
        (0.5, 2, 2),
        (1.0, 7, 7),
        (1.0, 8, 8),
        (0.5, 10, 5),
        (0.4, 10, 5),
        (0.21, 10, 3),
        (0.01, 10, 3),
        (2.5, 4, 4),
        (3, 10, 3),
        (4, 10, 5),
        (9, 10, 9),
        (10, 10, 10),
        (10, 4, 4),
    ],
)
def test_shares_are_odd_unless_everyone_gets_one(wanted: float, clients: int, shares: int) -> None:
    assert share_count(wanted, clients) == shares


@pytest.mark.parametrize(
    ("wanted", "shares", "threshold"),
    [(0.5, 5, 2), (0.9, 3, 3), (0.1, 5, 2), (1.0, 4, 4), (3, 5, 3)],
)
def test_a_threshold_is_at_least_two(wanted: float, shares: int, threshold: int) -> None:
    assert share_threshold(wanted, shares) == threshold


@given(st.integers(2, 5000), st.integers(1, 1 << 30), st.integers(1, 62))
def test_the_modulus_is_above_every_sum(clients: int, largest: int, bits: int) -> None:
    modulus = modulus_for(clients, largest, 1 << bits)

    assert modulus > clients * largest
    assert modulus == 1 << bits or modulus <= 2 * clients * largest


def test_sums_beyond_64_bits_are_refused() -> None:
    with pytest.raises(ValueError, match="64 bits"):
        modulus_for(4, 1 << 61, 1 << 62)


@given(st.lists(st.integers(1, 1 << 63), min_size=2, max_size=40, unique=True), st.integers(1, 9))
def test_neighbours_are_mutual_and_as_many_for_everyone(ring: list[int], half: int) -> None:
    count = 2 * half + 1

    found = neighbours(ring, count)

    assert found.keys() == set(ring)
    for node_id, near in found.items():
        assert node_id in near
        assert len(near) == min(count, len(ring))
        assert all(node_id in found[other] for other in near)


def test_neighbours_sit_on_both_sides() -> None:
    assert neighbours([5, 1, 4, 2, 3], 3) == {
        5: {3, 5, 1},
        1: {5, 1, 4},
        4: {1, 4, 2},
        2: {4, 2, 3},
        3: {2, 3, 5},
    }
