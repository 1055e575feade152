"""Medians, p95, counters between two instants, and how figures are written."""

import pytest

from tests.bench import figures


@pytest.mark.parametrize(
    ("values", "middle", "late"),
    [([3.0], 3.0, 3.0), ([1.0, 2.0], 1.5, 2.0), (list(map(float, range(1, 101))), 50.5, 95.0)],
)
def test_the_p95_is_a_value_that_was_measured(
    values: list[float], middle: float, late: float
) -> None:
    assert figures.median(values) == middle
    assert figures.p95(values[::-1]) == late


def test_one_slow_round_in_twenty_one_is_no_p95() -> None:
    assert figures.p95([1.0] * 20 + [9.0]) == 1.0
    assert figures.p95([1.0] * 18 + [9.0] * 2) == 9.0


def test_a_counter_is_read_between_samples() -> None:
    points = [(0.0, 10.0), (1.0, 20.0), (1.0, 20.0), (3.0, 24.0)]
    assert figures.growth(points, 0.5, 2.0) == pytest.approx(7.0)
    assert figures.growth(points, -5.0, 99.0) == pytest.approx(14.0)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0.000_31, "310 µs"),
        (0.0152, "15.2 ms"),
        (0.5, "500 ms"),
        (6.0, "6.00 s"),
        (1234.0, "1,234 s"),
    ],
)
def test_durations(value: float | None, text: str) -> None:
    assert figures.seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0.13, "130 kB"),
        (93.25, "93.2 MB"),
        (3250.0, "3,250 MB"),
        (13_000.0, "13.0 GB"),
    ],
)
def test_sizes(value: float | None, text: str) -> None:
    assert figures.megabytes(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(None, "-"), (0.0042, "0.004"), (0.4, "0.40"), (3512.0, "3,512")]
)
def test_plain_figures(value: float | None, text: str) -> None:
    assert figures.number(value) == text


@pytest.mark.parametrize(
    ("slow", "fast", "text"),
    [(6.0, 0.015, "400x"), (3.0, 2.0, "1.5x"), (9.97, 1.0, "10x"), (1.0, 2.0, "0.5x")],
)
def test_ratios(slow: float, fast: float, text: str) -> None:
    assert figures.ratio(slow, fast) == text


def test_what_was_not_measured_has_no_ratio() -> None:
    assert figures.ratio(None, 1.0) == figures.ratio(1.0, None) == figures.ratio(1.0, 0.0) == "-"
