"""Verdicts: met, missed, or not measured."""

from tests.bench.cases import CASES
from tests.bench.goals import GOALS, MET, MISSED, UNKNOWN, Goal
from tests.bench.results import Report, Result
from tests.unit.bench.test_results import new_report


def report_of(**rounds: float) -> Report:
    """Return a report with the seconds of a round by side, all of one case."""
    return new_report(*(Result("a@2", "a", s, figures={"round_s": v}) for s, v in rounds.items()))


def test_a_goal_is_a_bound_on_a_figure() -> None:
    goal = Goal("round", "a@2", "round_s", 0.03)
    assert goal.verdict(report_of(ours=0.03)) == MET
    assert goal.verdict(report_of(ours=0.031)) == MISSED
    assert goal.verdict(report_of(upstream=6.0)) == UNKNOWN
    assert goal.row(report_of(ours=0.0152)) == {
        "goal": "round",
        "case": "a@2",
        "limit": "≤ 30.0 ms",
        "figure": "15.2 ms",
        "verdict": MET,
    }


def test_a_speed_up_compares_the_sides_of_a_case() -> None:
    goal = Goal("against upstream", "a@2", "speed-up", 200, at_least=True)
    assert goal.verdict(report_of(ours=0.03, upstream=6.0)) == MET
    assert goal.verdict(report_of(ours=0.04, upstream=6.0)) == MISSED
    assert goal.verdict(report_of(ours=0.04)) == UNKNOWN
    assert goal.row(report_of(ours=0.04, upstream=6.0))["figure"] == "150x"


def test_a_goal_may_compare_two_cases_of_ours() -> None:
    goal = Goal("TLS", "tls@2", "round_s", 1.5, against="clear@2")
    report = new_report(
        Result("tls@2", "", "ours", figures={"round_s": 0.9}),
        Result("clear@2", "", "ours", figures={"round_s": 0.6}),
    )
    assert goal.row(report) == {
        "goal": "TLS",
        "case": "tls@2",
        "limit": "≤ 1.5x",
        "figure": "1.5x",
        "verdict": MET,
    }


def test_upstreams_nodes_on_our_superlink_are_compared_with_them_on_their_own() -> None:
    (goal,) = (goal for goal in GOALS if goal.case == "mixed-1kB@2")
    report = new_report(
        Result("mixed-1kB@2", "", "mixed", figures={"round_s": 2.0}),
        Result("rounds-1kB@2", "", "upstream", figures={"round_s": 6.0}),
    )
    assert goal.found(report) == 3.0
    assert goal.verdict(report) == MET


def test_every_goal_is_about_a_case_there_is() -> None:
    names = {case.name for case in CASES}
    assert {goal.case for goal in GOALS} <= names
    assert {goal.against for goal in GOALS} - {""} <= names
