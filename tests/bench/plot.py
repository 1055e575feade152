"""The picture of a report: time, CPU and memory of a round, ours beside upstream's."""

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.bench import figures
from tests.bench.results import Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS: Final = {"upstream": "#b8bec6", "ours": "#1664c0"}
INK: Final = "#24292f"
FAINT: Final = "#57606a"
_LABEL_SPACE: Final = 1.9  # of an axis, as a factor on its longest bar
_SAME: Final = 1.05  # a smaller ratio says nothing
_BAR: Final = 0.38
_ROW_IN: Final = 0.62
_WIDTH_IN: Final = 11.0
_CHARACTERS_PER_IN: Final = 13.5  # of a caption
_DPI: Final = 160
_TELLING: Final = (
    "rounds-1kB@2",
    "rounds-1kB@10",
    "rounds-1kB@40",
    "rounds-50MB@2",
    "rounds-500MB@2",
    "tls-1kB@2",
    "simulation-1kB@1000",
    "simulation-1MB@1000",
)


class NothingToDrawError(Exception):
    """A report holds no round of ours, or there is nothing to draw with."""


_PANELS: Final = (
    ("round_s", "Time per round", figures.seconds, True),
    ("cpu_s", "CPU time per round", figures.seconds, True),
    ("total_mb", "Memory, all processes", figures.megabytes, False),
)


def draw(report: Report, path: Path) -> None:
    """Write a PNG that can be read at the width of a README."""
    cases = pictured(report)
    if not cases:
        raise NothingToDrawError("no round of ours was measured")
    figure = canvas((_WIDTH_IN, 1.45 + _ROW_IN * len(cases)))
    grid = figure.subplots(1, len(_PANELS), sharey=True, squeeze=False)
    for axes, (name, title, write, is_log) in zip(grid[0], _PANELS, strict=True):
        _panel(axes, report, cases, name, is_log=is_log)
        _label(axes, report, cases, name, write)
        axes.set_title(title, fontsize=12, color=INK, loc="left", pad=8)
    titles: dict[str, str] = {}
    for result in report.results:
        mark = " (!)" if result.is_loud else ""
        titles[result.case] = max(titles.get(result.case, ""), result.title + mark, key=len)
    grid[0][0].set_yticks(range(len(cases)), [_wrapped(titles[name]) for name in cases])
    grid[0][0].invert_yaxis()
    handles, labels = grid[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper right", ncols=2, frameon=False, fontsize=11)
    figure.supxlabel(caption(report, _WIDTH_IN), fontsize=8.5, color=FAINT, x=0.01, ha="left")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, facecolor="white")


def canvas(size_in: tuple[float, float]) -> "Figure":
    """Return an empty figure that can be read at the width of a README.

    Raises:
        NothingToDrawError: there is nothing to draw with.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise NothingToDrawError("pip install -e '.[bench]' installs matplotlib") from None
    figure = Figure(figsize=size_in, dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def pictured(report: Report) -> list[str]:
    """Return the cases to draw: of many, those that a README has room for."""
    measured = [name for name in report.cases() if report.figure(name, "ours", "round_s")]
    telling = [name for name in measured if name in _TELLING]
    return telling if len(measured) > len(_TELLING) else measured


def _panel(axes: "Axes", report: Report, cases: Sequence[str], name: str, *, is_log: bool) -> None:
    for offset, side in ((-_BAR / 2, "upstream"), (_BAR / 2, "ours")):
        bars = [
            (row + offset * _has_both(report, case, name), value)
            for row, case in enumerate(cases)
            if (value := report.figure(case, side, name))
        ]
        label = f"upstream {report.versions['upstream']}" if side == "upstream" else "flwr-compose"
        places, widths = [y for y, _ in bars], [value for _, value in bars]
        axes.barh(places, widths, height=_BAR, color=COLOURS[side], label=label, log=is_log)
    for spine in ("top", "right", "bottom", "left"):
        axes.spines[spine].set_visible(False)
    axes.tick_params(length=0, labelsize=10.5, labelcolor=INK)
    axes.tick_params(axis="x", labelsize=8.5, labelcolor=FAINT)
    axes.xaxis.grid(visible=True, color="#e4e7eb", linewidth=0.8)
    axes.set_axisbelow(True)
    measured = [v for c in cases for s in COLOURS if (v := report.figure(c, s, name))]
    if is_log:
        low, high = decades(measured)
        ticks = [10.0**power for power in range(low, high + 1)]
        axes.set_xlim(ticks[0], max(measured) * (max(measured) / ticks[0]) ** 0.62)
        axes.set_xticks(ticks, [decade(power) for power in range(low, high + 1)], minor=False)
        axes.minorticks_off()
    else:
        axes.set_xlim(0, max(measured) * _LABEL_SPACE)
        axes.set_xticks([0])
        axes.xaxis.set_visible(False)


def decades(values: Sequence[float]) -> tuple[int, int]:
    """Return the powers of ten that enclose some values: at the left, room for every bar."""
    return math.floor(math.log10(min(values) * 0.7)), math.floor(math.log10(max(values)))


def decade(power: int) -> str:
    """Write a power of ten seconds as an axis does."""
    unit, shift = ("s", 0) if power >= 0 else ("ms", 3) if power >= -3 else ("µs", 6)
    return f"{10 ** (power + shift)} {unit}"


def change(theirs: float, ours: float) -> str:
    """Write how much less ours is, or how much more."""
    if max(theirs, ours) < _SAME * min(theirs, ours):
        return "the same"
    if theirs >= ours:
        return f"{figures.times(theirs / ours)} less"
    return f"{figures.times(ours / theirs)} more"


def _label(
    axes: "Axes",
    report: Report,
    cases: Sequence[str],
    name: str,
    write: "figures.Write",
) -> None:
    for row, case in enumerate(cases):
        theirs, ours = (report.figure(case, side, name) for side in ("upstream", "ours"))
        if theirs:
            text = f" {write(theirs)}"
            axes.text(theirs, row - _BAR / 2, text, va="center", fontsize=9.5, color=FAINT)
        if ours:
            text = f" {write(ours)}"
            if theirs:
                text += f"  ({change(theirs, ours)})"
            place = row + _BAR / 2 * _has_both(report, case, name)
            axes.text(ours, place, text, va="center", fontsize=9.5, color=INK, weight="bold")


def _has_both(report: Report, case: str, name: str) -> bool:
    """Tell whether a row has two bars: one alone sits in the middle."""
    return all(report.figure(case, side, name) for side in COLOURS)


def _wrapped(title: str) -> str:
    """Put what follows the second comma on a line of its own."""
    parts = title.split(", ")
    return "\n".join(filter(None, [", ".join(parts[:2]), ", ".join(parts[2:])]))


def caption(report: Report, width_in: float) -> str:
    """Write where and when a report was made, and what disturbed it, in lines of a picture."""
    machine = report.machine
    noise = f"; {report.noise}" if report.noise and report.noise.is_loud else ""
    if any(result.is_loud for result in report.results):
        noise += "; (!): others used the machine, too"
    text = (
        f"Medians, logarithmic axes for times and rates. {machine['cores']} cores, "
        f"{machine['processor']}, {report.started_at[:10]}, commit {report.commit}{noise}"
    )
    return textwrap.fill(text, int(width_in * _CHARACTERS_PER_IN))
