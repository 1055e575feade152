"""``make bench``: measure, print, and write a report and its pictures."""

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import Final

from rich.console import Console

from tests.bench import limits, plot, results, scaling, surroundings, tables
from tests.bench.accounting import open_meter
from tests.bench.cases import CASES, Case, choose
from tests.bench.federations import SIDES
from tests.bench.goals import GOALS
from tests.bench.results import Report
from tests.bench.runner import deadline, run_case, shorten
from tests.harness.toolset import ROOT

PICTURE: Final = ROOT / "docs" / "pictures" / "bench.png"
SCALING: Final = PICTURE.with_name("simulation.png")
REPORTS: Final = ROOT / ".state" / "bench"
_WIDTH: Final = 150  # where the output is no terminal
_LIMITS_S: Final = 120.0
_INTERRUPTED: Final = 130  # as a shell says it of SIGINT


def main() -> int:
    """Run the command line."""
    args = _parser().parse_args()
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    if args.plot_of:
        return _plot(results.read(args.plot_of), args.plot_of, console, publish=args.publish)
    try:
        cases = choose(
            CASES,
            names=args.case,
            counts=args.nodes,
            quick=args.quick,
        )
    except LookupError as error:
        console.print(f"{error}; --list shows what there is", markup=False)
        return 2
    if args.list:
        return _list(cases if args.case or args.nodes else CASES, console)
    return _measure(cases, args, console)


def _measure(cases: Sequence[Case], args: argparse.Namespace, console: Console) -> int:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    surroundings.adopt_orphans()
    report = _new_report()
    former = results.read(args.add_to) if args.add_to else None
    if former is not None and not former.is_comparable(report):
        console.print(f"{args.add_to} is of {former.commit} or of another machine, not of this one")
        return 2
    watch, begun = surroundings.NoiseWatch(), time.monotonic()
    try:
        _run_all(cases, args, report, console)
        report.is_complete = True
    except KeyboardInterrupt:
        console.print("Interrupted: here is what was measured until then.", style="bold")
    finally:
        surroundings.end_everything_below()
    report.noise, report.seconds = watch.noise(), time.monotonic() - begun
    if former is not None:
        report = former.joined(report)
    report.sort([case.name for case in CASES])
    tables.show(report, console)
    path = args.json or args.add_to or REPORTS / f"{report.started_at.replace(':', '')}.json"
    results.write(report, (goal.row(report) for goal in GOALS), path)
    console.print(f"Written: {path}", highlight=False)
    _plot(report, path, console, publish=False)
    if args.publish:
        _plot(report, path, console, publish=True)
    if not report.is_complete:
        return _INTERRUPTED
    return int(any(result.status == results.FAILED for result in report.results))


def _run_all(
    cases: Sequence[Case], args: argparse.Namespace, report: Report, console: Console
) -> None:
    begun = time.monotonic()

    def say(what: str) -> None:
        console.print(f"[dim]{time.monotonic() - begun:6.0f} s[/]  {what}", highlight=False)

    if not args.no_limits:
        say("this machine's limits")
        try:
            with deadline(_LIMITS_S):
                report.limits = limits.measure_apart()
        except Exception as error:  # noqa: BLE001  # rounds can be measured all the same
            say(f"not measured: {shorten(str(error))}")
        surroundings.end_everything_below()
    # Containers publish their ports on the machine's own loopback, so they come first.
    for case in (case for case in cases if case.needs_engine):
        run_case(case, report.results, sides=args.side, repeats=args.repeats, say=say)
    report.private_network = surroundings.enter_private_network()
    for case in (case for case in cases if not case.needs_engine):
        run_case(case, report.results, sides=args.side, repeats=args.repeats, say=say)


def _new_report() -> Report:
    meter = open_meter()
    meter.close()
    return Report(
        started_at=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        commit=surroundings.commit(),
        machine=surroundings.facts(),
        versions={
            "ours": version("flwr-compose"),
            "upstream": SIDES["upstream"].link.name.removeprefix("upstream-"),
            **{name: version(name) for name in ("grpcio", "numpy", "protobuf", "SQLAlchemy")},
        },
        accounting=meter.method,
        private_network=False,
    )


def _plot(report: Report, path: Path, console: Console, *, publish: bool) -> int:
    """Draw what a report has figures for; return 1 if that is nothing."""
    pictures = (
        (plot.draw, PICTURE if publish else path.with_suffix(".png")),
        (scaling.draw, SCALING if publish else path.with_name(f"{path.stem}-{SCALING.name}")),
    )
    drawn = 0
    for draw, picture in pictures:
        try:
            draw(report, picture)
        except plot.NothingToDrawError as reason:
            console.print(f"No {picture.name}: {reason}", markup=False)
        else:
            drawn += 1
            console.print(f"Drawn: {picture}", highlight=False)
    return 0 if drawn else 1


def _list(cases: Sequence[Case], console: Console) -> int:
    for case in cases:
        quick = "quick" if case.is_quick else ""
        sides = " ".join(case.sides)
        console.print(f"{case.name:22} {quick:6} {sides:14} {case.title}", highlight=False)
    return 0


def _interrupt(_: int, __: FrameType | None) -> None:
    # A second one must not disturb the ending of what was started.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


def _numbers(text: str) -> list[int]:
    return [int(word) for word in _words(text)]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench",
        description="Measure ours and upstream's release of the contract side by side.",
        epilog="tests/bench/README.md says what is measured, and how to read it.",
    )
    add = parser.add_argument
    add("--list", action="store_true", help="show the cases and exit")
    add("--quick", action="store_true", help="only some cases, which take ten minutes")
    add("--case", type=_words, default=[], metavar="NAME,...", help="only these cases")
    add("--nodes", type=_numbers, default=[], metavar="N,...", help="only with so many nodes")
    add("--side", type=_words, default=list(SIDES), metavar="SIDE,...", help="only these sides")
    add("--repeats", type=int, metavar="N", help="runs of each case on each side, in turns")
    add("--no-limits", action="store_true", help="do not measure the machine's limits")
    add("--json", type=Path, metavar="FILE", help="where the report goes (default: .state/bench)")
    add("--add-to", type=Path, metavar="REPORT", help="put what is found into a former report")
    add("--publish", action="store_true", help="also draw those of docs/pictures")
    add("--plot-of", type=Path, metavar="REPORT", help="draw a former report, measure nothing")
    return parser


if __name__ == "__main__":
    sys.exit(main())
