"""One measured run: a federation, the app of the kit in it, and what each round cost."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.bench.federations import MeasuredFederation, Setup, Side
from tests.bench.marks import Marks
from tests.bench.processes import high_water_mb
from tests.bench.sampler import Sampler
from tests.harness.federation import CONNECTION
from tests.harness.toolset import ROOT

APP: Final = ROOT / "tests" / "bench" / "app"
_CALM_S: Final = 20.0
_FOR_EVER_S: Final = 3600.0  # the case has a deadline


@dataclass(frozen=True, slots=True)
class Plan:
    """How many rounds: as many as fill ``seconds``, from ``least`` to ``most``."""

    warm: int = 2
    least: int = 5
    most: int = 200
    seconds: float = 4.0
    held: int = 1
    hold_s: float = 1.0


@dataclass(slots=True)
class Trial:
    """What one run showed: seconds of each counted round, and figures that are one for a run."""

    rounds_s: list[float]
    figures: dict[str, float] = field(default_factory=dict)
    memory_mb: dict[str, float] = field(default_factory=dict)
    cpu_by_group_s: dict[str, float] = field(default_factory=dict)


def run_config(plan: Plan, *, nodes: int, size: int, phase_file: Path | None) -> str:
    """Return what is told to the app."""
    values = {
        "nodes": nodes,
        "bytes": size,
        "warm": plan.warm,
        "least": plan.least,
        "most": plan.most,
        "seconds": plan.seconds,
        "held": plan.held,
        "hold": plan.hold_s,
        "phase-file": str(phase_file or ""),
    }
    return " ".join(f"{key}={json.dumps(value)}" for key, value in values.items())


def held(phase_file: Path) -> Callable[[], bool]:
    """Return what tells whether the app holds a round still."""
    return lambda: phase_file.exists() and phase_file.read_text() == "held"


def measure(federation: MeasuredFederation, plan: Plan, size: int) -> Trial:
    """Run the app in a federation that is not up yet, and return what it cost."""
    online_s = federation.up()
    federation.await_calm(_CALM_S)
    phase_file = federation.root / "phase"
    settings = run_config(plan, nodes=federation.setup.nodes, size=size, phase_file=phase_file)
    with Sampler(federation.meter, federation.roots, held(phase_file)) as sampler:
        submitted = time.monotonic()
        done = federation.flwr(
            *("run", str(APP), CONNECTION, "--stream", "--run-config", settings),
            tools=federation.side.link,
            timeout=_FOR_EVER_S,
        )
        left = time.monotonic()
    trial = evaluate(Marks.read(done.stdout), sampler, submitted=submitted, left=left)
    trial.figures["online_s"] = online_s
    _weigh_daemons(federation, trial)
    return trial


def evaluate(marks: Marks, sampler: Sampler, *, submitted: float, left: float) -> Trial:
    """Put marks and samples together."""
    begin, end = marks.window("timed")
    rounds = marks.rounds("timed")
    count = len(rounds)
    peaks = sampler.peaks
    figures = {
        "cpu_s": sampler.cpu_s(begin, end) / count,
        "wire_mb": sampler.carried_mb(begin, end) / count,
        "disk_mb": sampler.written_mb(begin, end) / count,
        "submit_s": marks.window("warm")[0] - submitted,
        "exit_s": left - marks.times("end")[0],
    }
    figures |= peaks.figures()
    groups = {g: s / count for g, s in sampler.group_cpu_s(begin, end).items()}
    return Trial(rounds, figures, dict(peaks.by_role), groups)


def _weigh_daemons(federation: MeasuredFederation, trial: Trial) -> None:
    """Note the most each daemon ever held: what the kernel remembers, no sample can miss."""
    most = [(root.role, high_water_mb(root.pid)) for root in federation.roots]
    for role in ("superlink", "supernode"):
        if held := [mb for name, mb in most if name == role]:
            trial.figures[f"{role}_mb"] = max(held)


def run_trial(root: Path, side: Side, setup: Setup, plan: Plan, size: int) -> Trial:
    """Measure one run in a federation of its own."""
    with MeasuredFederation(root, side, setup) as federation:
        try:
            return measure(federation, plan, size)
        except BaseException:
            keep_logs(federation)
            raise


def keep_logs(federation: MeasuredFederation) -> None:
    """Copy the logs of what failed to where they outlive it."""
    place = ROOT / ".state" / "bench" / "failed" / federation.root.name
    place.mkdir(parents=True, exist_ok=True)
    for name, text in federation.logs().items():
        (place / f"{name}.log").write_text(text)
