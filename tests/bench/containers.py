"""The same rounds where every program is a container: the project's own compose files, with TLS."""

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.bench.accounting import ProcMeter
from tests.bench.engine import has_engine
from tests.bench.federations import SERVER, SITES, NotMeasuredError
from tests.bench.marks import Marks
from tests.bench.processes import command_of, high_water_mb
from tests.bench.sampler import Root, Sampler
from tests.bench.trial import APP, Plan, Trial, evaluate, run_config
from tests.compose.deployment import Deployment, forget_environment
from tests.harness.federation import CONNECTION
from tests.harness.toolset import ROOT

_WEIGH_EVERY_S: Final = 2.0
_HOLD_S: Final = 3.0  # nobody outside sees the app's phase, so it is weighed now and then
_CALM_S: Final = 5.0
_FOR_EVER_S: Final = 3600.0  # the case has a deadline


def run_contained(root: Path, nodes: int, plan: Plan, size: int) -> Trial:
    """Measure one run of a federation in containers."""
    _require_engine()
    forget_environment()
    held = Plan(plan.warm, plan.least, plan.most, plan.seconds, plan.held, _HOLD_S)
    with Deployment(root, nodes=nodes) as deployment:
        deployment.up()
        time.sleep(_CALM_S)
        meter, roots = ProcMeter(), _roots(deployment, nodes)
        for root_ in roots:
            meter.follow(SITES if root_.site else SERVER, root_.pid)
        settings = run_config(held, nodes=nodes, size=size, phase_file=None)
        with Sampler(meter, roots, _now_and_then()) as sampler:
            submitted = time.monotonic()
            done = deployment.flwr(
                *("run", str(APP), CONNECTION, "--stream", "--run-config", settings),
                timeout=_FOR_EVER_S,
            )
            left = time.monotonic()
        trial = evaluate(Marks.read(done.stdout), sampler, submitted=submitted, left=left)
        trial.figures["superlink_mb"] = max(high_water_mb(r.pid) for r in roots if not r.site)
    del trial.figures["wire_mb"]  # it is not loopback that carries it
    return trial


def _roots(deployment: Deployment, nodes: int) -> list[Root]:
    """Return the first process of every container."""

    def pid(name: str) -> int:
        first, *below = deployment.project.pids(name)
        # The engine's init comes first where there is one; it plays no part.
        return below[0] if below and "docker-init" in command_of(first) else first

    found = [Root(pid("superlink"), "superlink", 0), Root(pid("serverapp"), "executor", 0)]
    for number in range(1, nodes + 1):
        found.append(Root(pid(f"supernode-{number}"), "supernode", number))
        found.append(Root(pid(f"clientapp-{number}"), "executor", number))
    return found


def _now_and_then() -> Callable[[], bool]:
    last = time.monotonic()

    def is_time() -> bool:
        nonlocal last
        if time.monotonic() < last + _WEIGH_EVERY_S:
            return False
        last = time.monotonic()
        return True

    return is_time


def _require_engine() -> None:
    if not has_engine():
        raise NotMeasuredError("no Docker engine answers: make engine, or start yours")
    build = [sys.executable, str(ROOT / "images" / "build.py")]  # what is older than its sources
    if subprocess.run(build, cwd=ROOT, capture_output=True, check=False).returncode:
        raise NotMeasuredError("the images do not build: make images")
