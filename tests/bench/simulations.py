"""Simulations: the same app on many virtual nodes of one machine."""

import time
from pathlib import Path
from typing import Final

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
from tests.harness.toolset import OURS

_CALM_S: Final = 10.0
_FOR_EVER_S: Final = 3600.0  # the case has a deadline


def why_no_upstream() -> str | None:
    """Return why upstream cannot simulate here; None when it can."""
    if any(UPSTREAM.bin.parent.glob("lib/python*/site-packages/ray/__init__.py")):
        return None
    return "upstream simulates with ray, which its virtual environment does not have"


def run_simulation(root: Path, side: str, plan: Plan, *, clients: int, size: int) -> Trial:
    """Simulate so many clients per round, and return what that cost."""
    run = _ours if side == "ours" else _upstream
    if run is _upstream and (reason := why_no_upstream()):
        raise NotMeasuredError(reason)
    with MeasuredFederation(root, SIDES[side], Setup(nodes=1)) as federation:
        try:
            trial = run(federation, plan, clients, size)
        except BaseException:
            keep_logs(federation)
            raise
    trial.figures["clients_per_s"] = clients * len(trial.rounds_s) / sum(trial.rounds_s)
    return trial


def _ours(federation: MeasuredFederation, plan: Plan, clients: int, size: int) -> Trial:
    phases = federation.root / "phase"
    settings = run_config(plan, nodes=clients, size=size, phase_file=phases)
    argv = ["--app", str(APP), "--num-supernodes", str(clients), "--run-config", settings]
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
    link = federation.start(
        "superlink",
        UPSTREAM,
        "flower-superlink",
        *("--insecure", "--simulation", "--control-api-address", federation.control),
        *("--serverappio-api-address", federation.serverappio),
    )
    link.await_port(federation.control)
    federation.await_calm(_CALM_S)
    with Sampler(federation.meter, federation.roots, held(phases)) as sampler:
        submitted = time.monotonic()
        done = federation.flwr(
            *("run", str(APP), CONNECTION, "--stream", "--run-config", settings),
            *("--federation-config", f"num-supernodes={clients}"),
            tools=UPSTREAM,
            timeout=_FOR_EVER_S,
        )
        left = time.monotonic()
    return evaluate(Marks.read(done.stdout), sampler, submitted=submitted, left=left)
