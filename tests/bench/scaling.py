"""Clients per second of simulations against their number: curves, a picture, its figures."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.bench.plot import COLOURS, FAINT, INK, NothingToDrawError, canvas, caption
from tests.bench.results import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FIGURE: Final = "clients_per_s"
_SIZE_IN: Final = (9.0, 5.2)
_LEAST_POINTS: Final = 2  # of a curve of ours; one point shows nothing
_HEADROOM: Final = 2.0  # for the labels of the topmost points
_NEAR: Final = 1.3  # times; curves that end closer have labels above and below their ends
_RISE: Final = 6  # points


@dataclass(frozen=True, slots=True)
class _Kind:
    """What a curve shows: results of one family of cases on one side."""

    label: str
    family: str
    side: str
    colour: str
    marker: str


_KINDS: Final = (
    _Kind("flwr-compose, process pool", "simulation-1kB", "ours", COLOURS["ours"], "o"),
    _Kind("flwr-compose, Ray", "simulation-ray-1kB", "ours", "#3fa7a0", "s"),
    _Kind("upstream {upstream}, Ray", "simulation-1kB", "upstream", "#8b949e", "^"),
)


@dataclass(frozen=True, slots=True)
class Curve:
    """Clients per second by their number, fewest first."""

    label: str
    colour: str
    marker: str
    points: Mapping[int, float]


def curves(report: Report) -> list[Curve]:
    """Return what a report holds of simulations with messages of 1 kB."""
    found = []
    for kind in _KINDS:
        points = {
            int(result.case.rpartition("@")[2]): result.figures[FIGURE]
            for result in report.results
            if result.case.startswith(f"{kind.family}@")
            and result.side == kind.side
            and FIGURE in result.figures
        }
        if points:
            label = kind.label.format(**report.versions)
            found.append(Curve(label, kind.colour, kind.marker, dict(sorted(points.items()))))
    return found


def draw(report: Report, path: Path) -> None:
    """Write a PNG, and beside it a JSON of what it shows.

    Raises:
        NothingToDrawError: there is no curve.
    """
    found = curves(report)
    if not any(len(curve.points) >= _LEAST_POINTS for curve in found):
        raise NothingToDrawError("simulations of 1 kB with several numbers of clients are needed")
    figure = canvas(_SIZE_IN)
    axes = figure.subplots()
    for curve in found:
        _plot(axes, curve, _rise(curve, found))
    _frame(axes, found)
    figure.supxlabel(caption(report, _SIZE_IN[0]), fontsize=8.5, color=FAINT, x=0.01, ha="left")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, facecolor="white")
    path.with_suffix(".json").write_text(json.dumps(_document(report, found), indent=1) + "\n")


def _rise(curve: Curve, found: Sequence[Curve]) -> int:
    """Return by how many points a curve's label is moved, so that it covers no other."""
    count, rate = list(curve.points.items())[-1]
    ends = [list(other.points.items())[-1] for other in found if other is not curve]
    near = [other for at, other in ends if at == count and 1 / _NEAR < other / rate < _NEAR]
    return 0 if not near else _RISE if rate >= max(near) else -_RISE


def _plot(axes: "Axes", curve: Curve, rise: int) -> None:
    counts, rates = list(curve.points), list(curve.points.values())
    axes.plot(
        counts,
        rates,
        color=curve.colour,
        marker=curve.marker,
        label=curve.label,
        linewidth=2.2,
        markersize=6,
    )
    axes.annotate(
        f"{rates[-1]:,.0f}/s",
        (counts[-1], rates[-1]),
        xytext=(9, rise - 3),
        textcoords="offset points",
        fontsize=10,
        weight="bold",
        color=curve.colour,
    )


def _frame(axes: "Axes", found: Sequence[Curve]) -> None:
    counts = sorted({count for curve in found for count in curve.points})
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(counts, [f"{count:,}" for count in counts])
    axes.set_xlim(counts[0] / 1.5, counts[-1] * 2.6)
    axes.set_ylim(top=max(max(curve.points.values()) for curve in found) * _HEADROOM)
    low, high = axes.get_ylim()
    powers = [10**power for power in range(8) if low <= 10**power <= high]
    axes.set_yticks(powers, [f"{power:,}" for power in powers])
    axes.minorticks_off()
    axes.grid(color="#e6e8eb", linewidth=0.8)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.set_xlabel("clients in a round", color=INK)
    axes.set_title(
        "Simulated clients per second, messages of 1 kB",
        fontsize=12,
        color=INK,
        loc="left",
    )
    axes.legend(frameon=False, loc="lower right", fontsize=10)


def _document(report: Report, found: Sequence[Curve]) -> dict[str, object]:
    return {
        "started_at": report.started_at,
        "commit": report.commit,
        "machine": dict(report.machine),
        "versions": dict(report.versions),
        "is_loud": any(result.is_loud for result in report.results),
        "clients_per_s": {
            curve.label: {str(count): round(rate, 1) for count, rate in curve.points.items()}
            for curve in found
        },
    }
