"""Curves of clients per second: what makes them, and what is written beside their picture."""

import json
from pathlib import Path

import pytest

from tests.bench import scaling
from tests.bench.plot import NothingToDrawError
from tests.bench.results import Report, Result


def report(*rows: tuple[str, str, float]) -> Report:
    return Report(
        started_at="2026-11-22T00:00:00Z",
        commit="abc",
        machine={"cores": 2, "processor": "a CPU"},
        versions={"upstream": "1.29.0"},
        accounting="none",
        private_network=True,
        results=[
            Result(case, case, side, figures={"clients_per_s": rate} if rate else {})
            for case, side, rate in rows
        ],
    )


MEASURED = report(
    ("simulation-1kB@1000", "ours", 4000.0),
    ("simulation-1kB@10", "ours", 400.0),
    ("simulation-1kB@10", "upstream", 40.0),
    ("simulation-1kB@1000", "upstream", 0.0),
    ("simulation-1MB@1000", "ours", 600.0),
    ("simulation-ray-1kB@10", "ours", 500.0),
)


def test_each_engine_has_a_curve_of_its_small_messages() -> None:
    found = {curve.label: dict(curve.points) for curve in scaling.curves(MEASURED)}

    assert found == {
        "flwr-compose, process pool": {10: 400.0, 1000: 4000.0},
        "flwr-compose, Ray": {10: 500.0},
        "upstream 1.29.0, Ray": {10: 40.0},
    }


def test_what_is_drawn_is_written_beside_it(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    scaling.draw(MEASURED, tmp_path / "simulation.png")

    assert (tmp_path / "simulation.png").stat().st_size > 10_000
    told = json.loads((tmp_path / "simulation.json").read_text())
    assert told["clients_per_s"]["flwr-compose, process pool"] == {"10": 400.0, "1000": 4000.0}
    assert told["commit"] == "abc"


def test_single_points_are_no_picture(tmp_path: Path) -> None:
    with pytest.raises(NothingToDrawError, match="several numbers"):
        scaling.draw(report(("simulation-1kB@10", "ours", 1.0)), tmp_path / "simulation.png")


def test_labels_of_curves_that_end_together_are_apart() -> None:
    ends = {"a": 1000.0, "b": 900.0, "c": 100.0}
    found = [scaling.Curve(name, "blue", "o", {10: 5.0, 100: rate}) for name, rate in ends.items()]

    assert [scaling._rise(curve, found) for curve in found] == [scaling._RISE, -scaling._RISE, 0]
