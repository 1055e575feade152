"""Reports: runs taken together, and their form on disk."""

import json
from pathlib import Path

import pytest

from tests.bench import results
from tests.bench.results import Report, Result, pool
from tests.bench.surroundings import Noise
from tests.bench.trial import Trial

QUIET = Noise(steal=0.0, others=0.01, load=0.5)


def new_report(*found: Result) -> Report:
    report = Report("2026-11-22T10:00:00Z", "abc", {"cores": 2}, {"upstream": "1.29.0"}, "x", True)
    report.results += found
    return report


def test_rounds_of_several_runs_are_taken_together() -> None:
    runs = [
        Trial([1.0, 2.0], {"cpu_s": 1.0, "total_mb": 10.0}),
        Trial([3.0], {"cpu_s": 3.0, "total_mb": 30.0}),
        Trial([9.0], {"cpu_s": 4.0}),
    ]
    assert pool(runs) == {
        "round_s": 2.5,
        "round_p95_s": 9.0,
        "cpu_s": 3.0,
        "total_mb": 30.0,
    }


def test_idle_runs_have_no_rounds() -> None:
    assert pool([Trial([], {"cores": 0.5})]) == {"cores": 0.5}


def test_a_result_keeps_the_peaks_and_the_noise_of_its_runs() -> None:
    result = Result("a@2", "a", "ours")
    result.take(Trial([1.0], {}, {"superlink": 60.0}), QUIET)
    result.take(Trial([2.0], {}, {"superlink": 50.0}), Noise(0.2, 0.0, 1.0))
    assert (result.trials, result.rounds_s) == (2, [1.0, 2.0])
    assert result.memory_mb == {"superlink": 60.0}
    assert result.is_loud


def test_a_report_survives_the_disk(tmp_path: Path) -> None:
    result = Result("a@2", "a", "ours", figures={"round_s": 0.015}, rounds_s=[0.015])
    result.noise.append(QUIET)
    report = new_report(result, Result("a@2", "a", "upstream", "failed", "boom"))
    report.noise = QUIET
    path = tmp_path / "new" / "report.json"

    results.write(report, [{"goal": "x", "verdict": "met"}], path)

    assert results.read(path) == report
    document = json.loads(path.read_text())
    assert document["format"] == results.FORMAT
    assert document["goals"] == [{"goal": "x", "verdict": "met"}]
    assert document["results"][0]["noise"] == [{"steal": 0.0, "others": 0.01, "load": 0.5}]


def test_a_later_report_completes_a_former_one() -> None:
    former = new_report(
        Result("a@2", "a", "ours", rounds_s=[9.0]), Result("a@2", "a", "upstream", rounds_s=[8.0])
    )
    later = new_report(Result("b@2", "b", "ours"), Result("a@2", "a", "ours", rounds_s=[1.0]))
    assert former.is_comparable(later)
    joined = former.joined(later)
    joined.sort(["a@2", "b@2"])
    assert joined.cases() == ["a@2", "b@2"]
    assert [r.rounds_s for r in joined.results if r.case == "a@2"] == [[8.0], [1.0]]
    later.commit = "def"
    assert not former.is_comparable(later)


def test_digits_that_mean_nothing_are_cut(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    results.write(new_report(Result("a@2", "a", "ours", rounds_s=[1 / 3])), [], path)
    assert json.loads(path.read_text())["results"][0]["rounds_s"] == [0.333333]


def test_another_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text("{}")
    with pytest.raises(ValueError, match="no report of this kit"):
        results.read(path)
