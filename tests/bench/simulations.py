"""Simulations: the same app on many virtual nodes of one machine."""

import time
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from flwr.simulation.backends import RAY
from tests.bench.federations import (
    SIDES,
    UPSTREAM,
    MeasuredFederation,
    NotMeasuredError,
    Setup,
)
from tests.bench.marks import Marks
from tests.bench.sampler import Sampler
from tests.bench.trial import APP, Plan, Trial, evaluate, held, keep_logs, run_config
from tests.harness.federation import CONNECTION
from tests.harness.simulator import start_simulator, virtual
from tests.harness.toolset import OURS

_CALM_S: Final = 10.0
_FOR_EVER_S: Final = 3600.0  # the case has a deadline


def why_no_upstream() -> str | None:
    """Return why upstream cannot simulate here; None when it can."""
    if any(UPSTREAM.bin.parent.glob("lib/python*/site-packages/ray/__init__.py")):
        return None
    return "upstream simulates with ray, which its environment does not have: make test-interop"


def why_no_backend(backend: str) -> str | None:
    """Return why ours cannot simulate with ``backend`` here; None when it can."""
    if backend == RAY and find_spec("ray") is None:
        return "Ray is not installed: pip install 'flwr-compose[ray]'"
    return None


def run_simulation(
    root: Path,
    side: str,
    plan: Plan,
    *,
    clients: int,
    size: int,
    backend: str,
    options: Sequence[str] = (),
) -> Trial:
    """Simulate so many clients per round, and return what that cost.

    Args:
        root: an empty folder.
        side: whose programs simulate.
        plan: how many rounds.
        clients: per round.
        size: of the model and of each reply, in bytes.
        backend: of ours; upstream has only ray.
        options: of ours, what else is asked for.

    Raises:
        NotMeasuredError: Ray is missing.
    """
    reason = why_no_upstream() if side == "upstream" else why_no_backend(backend)
    if reason is not None:
        raise NotMeasuredError(reason)
    with MeasuredFederation(root, SIDES[side], Setup(nodes=1)) as federation:
        try:
            if side == "upstream":
                trial = _upstream(federation, plan, clients, size)
            else:
                trial = _ours(federation, plan, clients, size, ("--backend", backend, *options))
        except BaseException:
            keep_logs(federation)
            raise
    trial.figures["clients_per_s"] = clients * len(trial.rounds_s) / sum(trial.rounds_s)
    return trial


def _ours(
    federation: MeasuredFederation,
    plan: Plan,
    clients: int,
    size: int,
    options: Sequence[str],
) -> Trial:
    phases = federation.root / "phase"
    settings = run_config(plan, nodes=clients, size=size, phase_file=phases)
    argv = ["--app", str(APP), "--num-supernodes", str(clients), "--run-config", settings]
    argv += options
    with Sampler(federation.meter, federation.roots, held(phases)) as sampler:
        submitted = time.monotonic()
        program = federation.start("serverapp", OURS, "flwr-simulation", *argv)
        code = program.wait(_FOR_EVER_S)
        left = time.monotonic()
    if code:
        raise RuntimeError(f"flwr-simulation exited {code}: {program.output[-500:]}")
    return evaluate(Marks.read(program.output), sampler, submitted=submitted, left=left)


def _upstream(federation: MeasuredFederation, plan: Plan, clients: int, size: int) -> Trial:
    phases = federation.root / "phase"
    settings = run_config(plan, nodes=clients, size=size, phase_file=phases)
    start_simulator(federation, UPSTREAM)
    federation.await_calm(_CALM_S)
    with Sampler(federation.meter, federation.roots, held(phases)) as sampler:
        submitted = time.monotonic()
        done = federation.flwr(
            *("run", str(APP), CONNECTION, "--stream", "--run-config", settings),
            *virtual(clients),
            tools=UPSTREAM,
            timeout=_FOR_EVER_S,
        )
        left = time.monotonic()
    marks = Marks.read(done.stdout)
    if not marks.times("end"):
        raise RuntimeError(f"upstream's run ended before its rounds did: {done.stdout[-1500:]}")
    return evaluate(marks, sampler, submitted=submitted, left=left)
