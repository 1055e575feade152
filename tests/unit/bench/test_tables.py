"""What a terminal and a picture show of a report."""

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from tests.bench import plot, tables
from tests.bench.cases import CASES
from tests.bench.results import Report, Result
from tests.bench.surroundings import Noise
from tests.unit.bench.test_results import new_report


def shown(report: Report) -> str:
    output = StringIO()
    tables.show(report, Console(file=output, width=150))
    return output.getvalue()


def of_round(side: str, took: float, case: str = "rounds-1kB@2") -> Result:
    figures = {"round_s": took, "round_p95_s": took, "cpu_s": took, "total_mb": 90.0}
    return Result(case, "1 kB, 2 nodes", side, figures=figures, rounds_s=[took])


def test_the_ratio_stands_beside_ours() -> None:
    text = shown(new_report(of_round("upstream", 6.0), of_round("ours", 0.015)))
    (line,) = (line for line in text.splitlines() if " ours " in line)
    assert line.endswith("400x")
    assert "15.0 ms" in line


def test_a_cause_is_printed_as_it_is() -> None:
    failed = Result("a@2", "a", "ours", "failed", "TypeError: list[int] [red]")
    assert "FAILED a@2 ours: TypeError: list[int] [red]" in shown(new_report(failed))


def test_figures_of_a_loud_machine_are_marked() -> None:
    result = of_round("ours", 0.015)
    result.noise.append(Noise(steal=0.2, others=0.0, load=1.0))
    text = shown(new_report(result))
    assert "1 kB, 2 nodes (!)" in text
    assert "do not trust" in text


def test_memory_is_shown_by_role() -> None:
    result = of_round("ours", 0.015)
    assert "by role" not in shown(new_report(result))
    result.memory_mb = {"superlink": 61.5, "clientapp": 120.0}
    (line,) = (line for line in shown(new_report(result)).splitlines() if "61.5 MB" in line)
    assert line.split()[-2:] == ["120", "MB"]


def test_loops_that_carry_others_bytes_are_said() -> None:
    report = new_report(of_round("ours", 0.015))
    assert "whatever else used loopback" not in shown(report)
    report.private_network = False
    assert "whatever else used loopback" in shown(report)


@pytest.mark.parametrize(
    ("values", "powers"), [([0.02, 6.0], (-2, 0)), ([0.01, 30.0], (-3, 1)), ([1.5], (0, 0))]
)
def test_axes_begin_at_a_power_of_ten_below_every_bar(
    values: list[float], powers: tuple[int, int]
) -> None:
    assert plot.decades(values) == powers


def test_decades_are_written_with_their_unit() -> None:
    assert [plot.decade(power) for power in (-4, -3, -1, 0, 1)] == [
        "100 µs",
        "1 ms",
        "100 ms",
        "1 s",
        "10 s",
    ]


def test_a_picture_says_less_or_more() -> None:
    assert plot.change(6.0, 0.015) == "400x less"
    assert plot.change(1.0, 2.5) == "2.5x more"


def test_a_picture_of_every_case_shows_those_that_tell_most() -> None:
    few = new_report(of_round("ours", 1.0, "rounds-1kB@5"), Result("idle@10", "idle", "ours"))
    assert plot.pictured(few) == ["rounds-1kB@5"]
    many = new_report(*(of_round("ours", 1.0, case.name) for case in CASES))
    assert "rounds-1kB@2" in plot.pictured(many)
    assert "rounds-1kB@5" not in plot.pictured(many)


def test_nothing_measured_is_nothing_drawn(tmp_path: Path) -> None:
    with pytest.raises(plot.NothingToDrawError):
        plot.draw(new_report(of_round("upstream", 6.0)), tmp_path / "bench.png")
