"""Rounds from the lines that the app of the kit prints."""

import pytest

from tests.bench.marks import Marks, NoMarksError

LOG = """
INFO: something else
bench-mark warm 0 100.000000
bench-mark warm 1 106.000000
bench-mark timed 0 106.500000
2026-11-22 INFO: bench-mark timed 1 112.500000
bench-mark timed 2 120.500000
bench-mark timed 2 120.500000
bench-mark end 0 121.000000
"""


def test_rounds_are_what_lies_between_marks_of_one_phase() -> None:
    marks = Marks.read(LOG)
    assert marks.rounds("warm") == [6.0]
    assert marks.rounds("timed") == [6.0, 8.0]
    assert marks.window("timed") == (106.5, 120.5)
    assert marks.times("end") == [121.0]


def test_rounds_are_in_order_of_their_number() -> None:
    lines = [f"bench-mark timed {number} {number}.5" for number in range(12)]
    assert Marks.read("\n".join(lines)).rounds("timed") == [1.0] * 11


def test_a_run_without_rounds_says_so() -> None:
    with pytest.raises(NoMarksError, match="'timed'"):
        Marks.read("bench-mark timed 0 1.0").window("timed")
