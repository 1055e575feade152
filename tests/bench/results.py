"""What a run of the kit found, and its form on disk."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from tests.bench.figures import median, p95
from tests.bench.surroundings import Noise
from tests.bench.trial import Trial

FORMAT: Final = 1
MEASURED: Final = "measured"
FAILED: Final = "failed"
LEFT_OUT: Final = "not measured"
# The most of several runs is what is needed; of everything else the middle is typical.
_PEAKS: Final = frozenset({"site_mb", "total_mb", "superlink_mb", "supernode_mb"})


@dataclass(slots=True)
class Result:
    """One case on one side."""

    case: str
    title: str
    side: str
    status: str = MEASURED
    cause: str = ""
    trials: int = 0
    figures: dict[str, float] = field(default_factory=dict)
    rounds_s: list[float] = field(default_factory=list)
    memory_mb: dict[str, float] = field(default_factory=dict)
    cpu_by_group_s: dict[str, float] = field(default_factory=dict)
    noise: list[Noise] = field(default_factory=list)

    def take(self, trial: Trial, noise: Noise) -> None:
        """Count one more run."""
        self.trials += 1
        self.noise.append(noise)
        self.rounds_s += trial.rounds_s
        for name, mb in trial.memory_mb.items():
            self.memory_mb[name] = max(self.memory_mb.get(name, 0.0), mb)
        self.cpu_by_group_s = dict(trial.cpu_by_group_s)

    def give_up(self, status: str, cause: str) -> None:
        """Note why there is no figure, or none of all runs that were wanted."""
        self.status, self.cause = status, cause

    @property
    def is_loud(self) -> bool:
        """True when something disturbed a run so much that its figures say little."""
        return any(noise.is_loud for noise in self.noise)


def pool(trials: Sequence[Trial]) -> dict[str, float]:
    """Return the figures of several runs of one case: rounds are taken together."""
    figures: dict[str, float] = {}
    if rounds := [took for trial in trials for took in trial.rounds_s]:
        figures = {"round_s": median(rounds), "round_p95_s": p95(rounds)}
    for name in sorted({name for trial in trials for name in trial.figures}):
        values = [trial.figures[name] for trial in trials if name in trial.figures]
        figures[name] = max(values) if name in _PEAKS else median(values)
    return figures


@dataclass(slots=True)
class Report:
    """Everything of one run of the kit."""

    started_at: str
    commit: str
    machine: Mapping[str, object]
    versions: Mapping[str, str]
    accounting: str
    private_network: bool
    limits: dict[str, float] = field(default_factory=dict)
    results: list[Result] = field(default_factory=list)
    noise: Noise | None = None
    seconds: float = 0.0
    is_complete: bool = False

    def find(self, case: str, side: str) -> Result | None:
        """Return what was found of a case on a side."""
        return next((r for r in self.results if (r.case, r.side) == (case, side)), None)

    def figure(self, case: str, side: str, name: str) -> float | None:
        """Return one figure; None when it was not measured."""
        found = self.find(case, side)
        return None if found is None else found.figures.get(name)

    def joined(self, later: "Report") -> "Report":
        """Return this report with the rows of a later one, which replace the same ones here."""
        replaced = {(result.case, result.side) for result in later.results}
        kept = [one for one in self.results if (one.case, one.side) not in replaced]
        return replace(
            later,
            limits=later.limits or self.limits,
            results=[*kept, *later.results],
            seconds=self.seconds + later.seconds,
        )

    def is_comparable(self, other: "Report") -> bool:
        """Tell whether the other one is of the same commit and machine."""
        return (self.commit, self.machine) == (other.commit, other.machine)

    def sort(self, cases: Sequence[str]) -> None:
        """Put the rows into the order of ``cases``."""
        place = {name: n for n, name in enumerate(cases)}
        self.results.sort(key=lambda result: place.get(result.case, len(place)))

    def cases(self) -> list[str]:
        """Return the names of the cases, in order."""
        return list(dict.fromkeys(result.case for result in self.results))


def write(report: Report, goals: Iterable[Mapping[str, object]], path: Path) -> None:
    """Write a report as JSON, durations in seconds and sizes in MB."""
    document = {"format": FORMAT, **asdict(report), "goals": list(goals)}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(_rounded(document), indent=1) + "\n")


def read(path: Path) -> Report:
    """Read what ``write`` wrote."""
    document = json.loads(path.read_text())
    if document.pop("format", None) != FORMAT:
        raise ValueError(f"{path} is no report of this kit (format {FORMAT})")
    document.pop("goals")
    results = [
        Result(**{**found, "noise": [Noise(**noise) for noise in found["noise"]]})
        for found in document.pop("results")
    ]
    noise = document.pop("noise")
    return Report(**document, results=results, noise=Noise(**noise) if noise else None)


def _rounded(value: Any) -> Any:
    """Cut digits that mean nothing: a microsecond, a byte."""
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list) else value
