"""What is measured: every case by name, and how it is measured."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from flwr.simulation.backends import POOL, RAY
from tests.bench.federations import SIDES, NotMeasuredError, Setup
from tests.bench.idle import run_idle, run_light
from tests.bench.simulations import run_simulation
from tests.bench.trial import Plan, Trial, run_trial

Measure = Callable[[Path, str], Trial]

KB: Final = 1_000
MB: Final = 1_000_000
BOTH: Final = ("upstream", "ours")
OURS_ALONE: Final = ("ours",)
# 325 MB a site and a CPU second for each message: more than these are no federation on two cores.
UPSTREAM_MOST_NODES: Final = 20
UPSTREAM_MOST_CLIENTS: Final = 1_000  # in a simulation: more take minutes, at 200 a second

_OURS: Final = Plan()
_OURS_LARGE: Final = Plan(warm=1, least=3, most=20, seconds=6.0)
_UPSTREAM: Final = Plan(warm=1, least=2, most=2, seconds=0.0)
_SIMULATED: Final = Plan(warm=2, least=3, most=20, seconds=4.0, hold_s=0.002)
_SIMULATED_FRESH: Final = Plan(warm=1, least=3, most=10, seconds=4.0, hold_s=0.0)
_SIMULATED_UPSTREAM: Final = Plan(warm=1, least=1, most=2, seconds=6.0, hold_s=0.0)
_IDLE_S: Final = 20.0
_LIGHT_S: Final = 75.0  # a whole number of held pulls


@dataclass(frozen=True, slots=True)
class Case:
    """One row of the table."""

    family: str
    count: int  # of nodes, or of simulated clients
    title: str
    measure: Measure
    sides: Sequence[str] = BOTH
    is_quick: bool = False
    repeats: int = 1
    deadline_s: float = 300.0
    why_not: dict[str, str] = field(default_factory=dict)  # side -> why it is not measured at all

    @property
    def name(self) -> str:
        """Return what ``--case`` calls it."""
        return f"{self.family}@{self.count}"

    @property
    def needs_engine(self) -> bool:
        """True when its programs are containers."""
        return self.family.startswith("containers")


def rounds(
    family: str,
    count: int,
    size: int,
    setup: Setup,
    *,
    sides: Sequence[str] = BOTH,
    is_quick: bool = False,
    repeats: int = 1,
    deadline_s: float = 300.0,
) -> Case:
    """Return a case of whole federations that run rounds."""

    def measure(root: Path, side: str) -> Trial:
        small = _OURS if size < MB else _OURS_LARGE
        plan = small if side == "ours" else _UPSTREAM
        return run_trial(root, SIDES[side], setup, plan, size)

    refused = {}
    if count > UPSTREAM_MOST_NODES and "upstream" in sides:
        refused["upstream"] = f"{count} of upstream's sites would need {count * 0.325:.0f} GB"
    title = f"{_written(size)}, {count} nodes{_described(setup)}"
    if "mixed" in sides:
        title += ", upstream's on our SuperLink"
    return Case(family, count, title, measure, sides, is_quick, repeats, deadline_s, refused)


def _idle(count: int, *, sides: Sequence[str], is_quick: bool) -> Case:
    def measure(root: Path, side: str) -> Trial:
        return run_idle(root, SIDES[side], Setup(nodes=count), _IDLE_S)

    title = f"idle, {count} nodes"
    return Case("idle", count, title, measure, sides, is_quick, deadline_s=240)


def _light(count: int, *, is_quick: bool) -> Case:
    def measure(root: Path, _: str) -> Trial:
        return run_light(root, count, _LIGHT_S)

    title = f"idle, {count:,} light nodes"
    deadline_s = 200 + count * 0.06
    return Case("idle-light", count, title, measure, OURS_ALONE, is_quick, 1, deadline_s)


def _simulation(size: int, count: int, *, is_quick: bool = False) -> Case:
    """Return a case of ours on its process pool, and of upstream, which has Ray, where it can."""

    def measure(root: Path, side: str) -> Trial:
        plan = _SIMULATED if side == "ours" else _SIMULATED_UPSTREAM
        return run_simulation(root, side, plan, clients=count, size=size, backend=POOL)

    family, title = f"simulation-{_short(size)}", f"simulation, {_written(size)}, {count:,} clients"
    sides = BOTH if count <= UPSTREAM_MOST_CLIENTS else OURS_ALONE
    return Case(family, count, title, measure, sides, is_quick, 1, 200.0 + count / 20)


def _simulation_on_ray(size: int, count: int, *, is_quick: bool = False) -> Case:
    """Return a case of ours on Ray alone; upstream is in the case of the same size and count."""

    def measure(root: Path, side: str) -> Trial:
        return run_simulation(root, side, _SIMULATED, clients=count, size=size, backend=RAY)

    family = f"simulation-ray-{_short(size)}"
    title = f"simulation, {_written(size)}, {count:,} clients, on Ray"
    return Case(family, count, title, measure, OURS_ALONE, is_quick, 1, 300.0)


def _simulation_fresh(size: int, count: int) -> Case:
    def measure(root: Path, side: str) -> Trial:
        plan = _SIMULATED_FRESH
        return run_simulation(
            root, side, plan, clients=count, size=size, backend=POOL, options=("--app-start=fresh",)
        )

    family = f"simulation-fresh-{_short(size)}"
    title = f"simulation, {_written(size)}, {count:,} clients, a process for each message"
    return Case(family, count, title, measure, OURS_ALONE, True, 1, 300.0)


def _in_containers(count: int) -> Case:
    def measure(root: Path, _: str) -> Trial:
        try:
            from tests.bench.containers import run_contained
        except ImportError as cause:
            raise NotMeasuredError(f"needs the development tools: {cause}") from cause
        return run_contained(root, count, _OURS, KB)

    title = f"1 kB, {count} nodes, containers"
    return Case("containers-1kB", count, title, measure, OURS_ALONE, deadline_s=300)


def choose(
    cases: Sequence[Case],
    *,
    names: Sequence[str],
    counts: Sequence[int],
    quick: bool,
) -> list[Case]:
    """Return the cases that were asked for.

    Args:
        cases: what there is.
        names: families or full names; none: all there is.
        counts: numbers of nodes to keep; none: all.
        quick: without names, those that take ten minutes.
    """
    named = [case for case in cases if case.family in names or case.name in names]
    if names and not named:
        raise LookupError(f"no case is called {', '.join(names)}")
    plain = [case for case in cases if case.is_quick or not quick]
    chosen = [c for c in (named if names else plain) if not counts or c.count in counts]
    if not chosen:
        raise LookupError(f"no chosen case has {', '.join(map(str, counts))} nodes")
    return chosen


def _written(size: int) -> str:
    return f"{size // MB} MB" if size >= MB else f"{size // KB} kB"


def _short(size: int) -> str:
    return _written(size).replace(" ", "")


def _described(setup: Setup) -> str:
    parts = [
        ", TLS" if setup.tls else "",
        " + PostgreSQL" if setup.postgres else "",
        ", isolation process" if setup.isolation == "process" else "",
        ", taking turns" if setup.takes_turns else "",
    ]
    return "".join(parts)


CASES: Final[Sequence[Case]] = (
    rounds("rounds-1kB", 2, KB, Setup(2), is_quick=True, repeats=2),
    rounds("rounds-1kB", 5, KB, Setup(5)),
    rounds("rounds-1kB", 10, KB, Setup(10), is_quick=True, deadline_s=400),
    rounds("rounds-1kB", 20, KB, Setup(20), deadline_s=450),
    rounds("rounds-1kB", 40, KB, Setup(40), deadline_s=400),
    rounds("turns-1kB", 40, KB, Setup(40, takes_turns=True), sides=OURS_ALONE, deadline_s=400),
    rounds("rounds-1MB", 2, MB, Setup(2)),
    rounds("rounds-50MB", 2, 50 * MB, Setup(2), is_quick=True),
    rounds("rounds-500MB", 2, 500 * MB, Setup(2), deadline_s=600),
    rounds("rounds-50MB", 10, 50 * MB, Setup(10), deadline_s=900),
    rounds("tls-1kB", 2, KB, Setup(2, tls=True), sides=OURS_ALONE, is_quick=True),
    rounds("tls-1kB", 10, KB, Setup(10, tls=True), deadline_s=600),
    rounds("tls-50MB", 2, 50 * MB, Setup(2, tls=True)),
    rounds("postgres-1kB", 2, KB, Setup(2, tls=True, postgres=True), sides=OURS_ALONE),
    rounds("postgres-1kB", 10, KB, Setup(10, tls=True, postgres=True), sides=OURS_ALONE),
    rounds("process-1kB", 2, KB, Setup(2, isolation="process")),
    rounds("process-1kB", 10, KB, Setup(10, isolation="process"), deadline_s=600),
    rounds("mixed-1kB", 2, KB, Setup(2), sides=("mixed",)),
    rounds("mixed-1kB", 10, KB, Setup(10), sides=("mixed",), deadline_s=400),
    _idle(10, sides=BOTH, is_quick=False),
    _light(1_000, is_quick=True),
    _light(10_000, is_quick=False),
    _simulation(KB, 10),
    _simulation(KB, 100),
    _simulation(KB, 1_000, is_quick=True),
    _simulation(KB, 10_000),
    _simulation(MB, 1_000, is_quick=True),
    _simulation_fresh(KB, 1_000),
    _simulation_on_ray(KB, 10),
    _simulation_on_ray(KB, 100),
    _simulation_on_ray(KB, 1_000, is_quick=True),
    _simulation_on_ray(KB, 10_000),
    _simulation_on_ray(MB, 1_000),
    _in_containers(2),
    _in_containers(10),
)
