"""Cases one after another: in turns, with deadlines, whatever fails."""

import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.bench import runner
from tests.bench.cases import Case, Measure
from tests.bench.federations import NotMeasuredError
from tests.bench.results import Result
from tests.bench.trial import Trial

SIDES = ("upstream", "ours")


@pytest.fixture(autouse=True)
def _other_processes_live_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "end_everything_below", lambda: None)


def run(
    measure: Measure,
    *,
    sides: Sequence[str] = SIDES,
    repeats: int | None = None,
    deadline_s: float = 60.0,
) -> dict[str, Result]:
    found: list[Result] = []
    case = Case("a", 2, "a, 2 nodes", measure, SIDES, repeats=2, deadline_s=deadline_s)
    runner.run_case(case, found, sides=sides, repeats=repeats, say=lambda _: None)
    return {result.side: result for result in found}


def test_sides_take_turns() -> None:
    turns = []

    def measure(_: Path, side: str) -> Trial:
        turns.append(side)
        return Trial([float(len(turns))])

    found = run(measure)

    assert turns == ["upstream", "ours", "upstream", "ours"]
    assert found["ours"].rounds_s == [2.0, 4.0]
    assert found["ours"].figures["round_s"] == 3.0
    assert found["ours"].trials == 2


def test_a_side_that_fails_says_why_and_the_other_goes_on() -> None:
    def measure(_: Path, side: str) -> Trial:
        if side == "upstream":
            raise RuntimeError("it broke\nTraceback ...\nlast words")
        return Trial([1.0])

    found = run(measure)

    assert found["upstream"].status == "failed"
    assert found["upstream"].cause.startswith("RuntimeError: it broke")
    assert found["upstream"].cause.endswith("last words")
    assert found["upstream"].figures == {}
    assert found["ours"].figures["round_s"] == 1.0


def test_what_a_machine_lacks_is_no_failure() -> None:
    def measure(_: Path, side: str) -> Trial:
        raise NotMeasuredError("needs PostgreSQL")

    found = run(measure, sides=("ours",))

    assert list(found) == ["ours"]
    assert (found["ours"].status, found["ours"].cause) == ("not measured", "needs PostgreSQL")


def test_a_case_has_a_deadline() -> None:
    def measure(_: Path, side: str) -> Trial:
        time.sleep(30)
        return Trial([1.0])

    found = run(measure, sides=("ours",), repeats=1, deadline_s=0.05)

    assert found["ours"].status == "failed"
    assert "not done within" in found["ours"].cause


def test_an_interruption_keeps_what_was_measured() -> None:
    found: list[Result] = []

    def measure(_: Path, side: str) -> Trial:
        if found[0].trials:
            raise KeyboardInterrupt
        return Trial([1.0])

    case = Case("a", 2, "a", measure, SIDES)
    with pytest.raises(KeyboardInterrupt):
        runner.run_case(case, found, sides=SIDES, repeats=1, say=lambda _: None)

    assert [result.figures for result in found] == [{"round_s": 1.0, "round_p95_s": 1.0}, {}]
