"""The speed we answer for, and whether a run of the kit found it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tests.bench import figures
from tests.bench.results import Report

MET: Final = "met"
MISSED: Final = "missed"
UNKNOWN: Final = "not measured"

_SPEEDUP: Final = "speed-up"


@dataclass(frozen=True, slots=True)
class Goal:
    """A bound on one figure of ours, or on its ratio to another one.

    ``figure`` is that of a case; "speed-up" is how many times a round of ours goes into one of
    upstream's.  With ``against``, the figure is divided by that of another case of ours first.
    """

    what: str
    case: str
    figure: str
    limit: float
    at_least: bool = False
    against: str = ""
    side: str = "ours"

    def found(self, report: Report) -> float | None:
        """Return what there is to compare with the limit."""
        if self.figure == _SPEEDUP:
            # The side that is compared runs the same round as upstream does in this case.
            case = self.against or self.case
            return _quotient(
                report.figure(case, "upstream", "round_s"),
                report.figure(self.case, self.side, "round_s"),
            )
        value = report.figure(self.case, self.side, self.figure)
        if self.against:
            return _quotient(value, report.figure(self.against, self.side, self.figure))
        return value

    def verdict(self, report: Report) -> str:
        """Return whether it is met."""
        value = self.found(report)
        if value is None:
            return UNKNOWN
        is_met = value >= self.limit if self.at_least else value <= self.limit
        return MET if is_met else MISSED

    def written(self, value: float | None) -> str:
        """Write a figure as this goal's."""
        if value is None:
            return "-"
        if self.figure == _SPEEDUP or self.against:
            return figures.times(value)
        if self.figure.endswith("_mb"):
            return figures.megabytes(value)
        if self.figure in {"cores", "clients_per_s"} or self.figure.endswith("_cores"):
            return figures.number(value)
        return figures.seconds(value)

    @property
    def bound(self) -> str:
        """Write the limit."""
        return f"{'≥' if self.at_least else '≤'} {self.written(self.limit)}"

    def row(self, report: Report) -> dict[str, object]:
        """Return this goal with what was found, for the record."""
        found = self.found(report)
        return {
            "goal": self.what,
            "case": self.case,
            "limit": self.bound,
            "figure": self.written(found),
            "verdict": self.verdict(report),
        }


GOALS: Final[Sequence[Goal]] = (
    Goal("round, 2 nodes, 1 kB", "rounds-1kB@2", "round_s", 0.030),
    Goal("  against upstream", "rounds-1kB@2", _SPEEDUP, 200, at_least=True),
    Goal("round, 5 nodes, 1 kB", "rounds-1kB@5", "round_s", 0.060),
    Goal("round, 10 nodes, 1 kB", "rounds-1kB@10", "round_s", 0.100),
    Goal("  against upstream", "rounds-1kB@10", _SPEEDUP, 90, at_least=True),
    Goal("round, 20 nodes, 1 kB", "rounds-1kB@20", "round_s", 0.25),
    Goal("round, 40 nodes, 1 kB", "rounds-1kB@40", "round_s", 0.5),
    Goal("  taking turns, 2 at a time", "turns-1kB@40", "round_s", 0.5),
    Goal("CPU per round, 10 nodes, 1 kB", "rounds-1kB@10", "cpu_s", 0.15),
    Goal("memory per site, 1 kB", "rounds-1kB@10", "site_mb", 100),
    Goal("submit to first send", "rounds-1kB@2", "submit_s", 0.3),
    Goal("end of ServerApp to CLI exit", "rounds-1kB@2", "exit_s", 0.1),
    Goal("TLS + keys, 2 nodes, 1 kB", "tls-1kB@2", "round_s", 0.045),
    Goal("TLS + keys, 10 nodes, 1 kB", "tls-1kB@10", "round_s", 0.150),
    Goal("isolation process, 2 nodes, 1 kB", "process-1kB@2", "round_s", 0.030),
    Goal("isolation process, 10 nodes, 1 kB", "process-1kB@10", "round_s", 0.100),
    Goal("containers, 2 nodes, 1 kB", "containers-1kB@2", "round_s", 0.045),
    Goal("containers, 10 nodes, 1 kB", "containers-1kB@10", "round_s", 0.150),
    Goal("round, 2 nodes, 1 MB", "rounds-1MB@2", "round_s", 0.050),
    Goal("round, 2 nodes, 50 MB", "rounds-50MB@2", "round_s", 0.7),
    Goal("round, 10 nodes, 50 MB", "rounds-50MB@10", "round_s", 3.0),
    Goal("round, 2 nodes, 500 MB", "rounds-500MB@2", "round_s", 5.0),
    Goal("  memory in all", "rounds-500MB@2", "total_mb", 3_000),
    Goal("  memory of the SuperLink", "rounds-500MB@2", "superlink_mb", 150),
    Goal("TLS against clear, 50 MB", "tls-50MB@2", "round_s", 1.5, against="rounds-50MB@2"),
    *(
        Goal(
            f"PostgreSQL against SQLite, {nodes} nodes, 1 kB",
            f"postgres-1kB@{nodes}",
            "round_s",
            2.0,
            against=f"tls-1kB@{nodes}",
        )
        for nodes in (2, 10)
    ),
    *(
        Goal(
            f"upstream's SuperNodes on our SuperLink, {nodes}",
            f"mixed-1kB@{nodes}",
            _SPEEDUP,
            2,
            at_least=True,
            against=f"rounds-1kB@{nodes}",
            side="mixed",
        )
        for nodes in (2, 10)
    ),
    Goal("10 idle nodes: cores", "idle@10", "cores", 0.1),
    Goal("1,000 idle nodes: cores", "idle-light@1000", "cores", 0.1),
    Goal("1,000 idle nodes: memory", "idle-light@1000", "total_mb", 200),
    Goal("10,000 idle nodes: cores", "idle-light@10000", "cores", 1.0),
    Goal("10,000 idle nodes: memory", "idle-light@10000", "total_mb", 1_000),
    Goal(
        "simulation, 1 kB, clients/s", "simulation-1kB@1000", "clients_per_s", 3_500, at_least=True
    ),
    Goal("  start to first round", "simulation-1kB@1000", "submit_s", 1.0),
    Goal(
        "  a process for each message",
        "simulation-fresh-1kB@1000",
        "clients_per_s",
        500,
        at_least=True,
    ),
    Goal("  on Ray", "simulation-ray-1kB@1000", "clients_per_s", 2_000, at_least=True),
    Goal("simulation, 1 MB, clients/s", "simulation-1MB@1000", "clients_per_s", 600, at_least=True),
)


def _quotient(value: float | None, by: float | None) -> float | None:
    return None if value is None or not by else value / by
