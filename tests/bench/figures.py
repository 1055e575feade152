"""The arithmetic of measurements, and how figures are written for people."""

import itertools
import math
import statistics
from collections.abc import Callable, Sequence
from typing import Final

Write = Callable[[float | None], str]

_NONE: Final = "-"


def median(values: Sequence[float]) -> float:
    """Return the middle value; the mean of the two middle ones when their number is even."""
    return statistics.median(values)


def p95(values: Sequence[float]) -> float:
    """Return the smallest measured value that at least 95 % of the values do not exceed."""
    return sorted(values)[math.ceil(0.95 * len(values)) - 1]


def interpolate(points: Sequence[tuple[float, float]], at: float) -> float:
    """Return the value at one instant between points in order of time; the ends' beyond them."""
    for (t0, v0), (t1, v1) in itertools.pairwise(points):
        if t0 <= at <= t1:
            return v0 if t1 == t0 else v0 + (v1 - v0) * (at - t0) / (t1 - t0)
    return points[0][1] if at < points[0][0] else points[-1][1]


def growth(points: Sequence[tuple[float, float]], begin: float, end: float) -> float:
    """Return by how much a counter grew between two instants."""
    return interpolate(points, end) - interpolate(points, begin)


def seconds(value: float | None) -> str:
    """Write a duration with three digits that count."""
    if value is None:
        return _NONE
    if value < 0.001:
        return f"{_three(value * 1e6)} µs"
    return f"{_three(value * 1000)} ms" if value < 1 else f"{_three(value)} s"


def megabytes(value: float | None) -> str:
    """Write a size given in millions of bytes."""
    if value is None:
        return _NONE
    if value < 1:
        return f"{_three(value * 1000)} kB"
    return f"{_three(value)} MB" if value < 10_000 else f"{value / 1000:.1f} GB"


def ratio(slow: float | None, fast: float | None) -> str:
    """Write how many times ``fast`` goes into ``slow``."""
    if slow is None or not fast:
        return _NONE
    return times(slow / fast)


def times(value: float) -> str:
    """Write a ratio: two digits below ten, none behind the point above."""
    return f"{value:.2g}x" if value < 9.95 else f"{value:.0f}x"


def number(value: float | None) -> str:
    """Write a plain figure with three digits that count, or to the thousandth."""
    if value is None:
        return _NONE
    return _three(value) if value >= 0.1 else f"{value:.3f}"


def _three(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
