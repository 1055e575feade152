"""What a federation costs while nothing is asked of it."""

import json
import re
import sys
import time
from pathlib import Path
from typing import Final

from tests.bench.federations import SERVER, SIDES, MeasuredFederation, Setup, Side
from tests.bench.processes import high_water_mb, scan, tree_cpu_s
from tests.bench.sampler import Sampler
from tests.bench.trial import Trial, keep_logs
from tests.harness.program import Program, eventually
from tests.harness.toolset import ROOT

_CALM_S: Final = 30.0
_JOIN_S: Final = 1000.0  # the case has a deadline


def run_idle(root: Path, side: Side, setup: Setup, window_s: float) -> Trial:
    """Watch a federation of real nodes for so many seconds."""
    with MeasuredFederation(root, side, setup) as federation:
        try:
            online_s = federation.up()
            federation.await_calm(_CALM_S)
            trial = _watch(federation, window_s)
        except BaseException:
            keep_logs(federation)
            raise
    trial.figures["online_s"] = online_s
    return trial


def run_light(root: Path, count: int, window_s: float) -> Trial:
    """Watch our SuperLink for so many seconds, while ``count`` light-weight nodes are online."""
    with MeasuredFederation(root, SIDES["ours"], Setup(nodes=1)) as federation:
        try:
            federation.start_superlink()
            # Started past the meter: what the nodes themselves use is not the SuperLink's.
            argv = [sys.executable, "-m", "tests.bench.light_nodes", federation.fleet, str(count)]
            env = {**federation.environment(federation.side.link, "light"), "PYTHONPATH": str(ROOT)}
            nodes = Program("light", argv, log=root / "light.log", env=env, cwd=ROOT)
            federation.programs.append(nodes)
            join_s = _await_ready(nodes)
            federation.await_calm(_CALM_S)
            before = tree_cpu_s([nodes.pid], scan())
            trial = _watch(federation, window_s)
            used_s = tree_cpu_s([nodes.pid], scan()) - before
        except BaseException:
            keep_logs(federation)
            raise
        nodes.stop()
        calls = json.loads(nodes.output.splitlines()[-1])
    trial.figures |= {"join_s": join_s, "generator_cores": used_s / window_s}
    trial.figures["failed_calls"] = float(calls.get("failed", 0) + calls.get("unknown", 0))
    return trial


def _await_ready(nodes: Program) -> float:
    def said() -> re.Match[str] | None:
        if not nodes.is_alive:
            raise RuntimeError(f"the light-weight nodes ended: {nodes.output[-500:]}")
        return re.search(r"^ready ([\d.]+)$", nodes.output, re.MULTILINE)

    eventually(said, timeout=_JOIN_S)
    found = said()
    assert found
    return float(found[1])


def _watch(federation: MeasuredFederation, window_s: float) -> Trial:
    weigh_at = time.monotonic() + window_s  # the weighing is not in the window
    with Sampler(
        federation.meter, federation.roots, lambda: time.monotonic() >= weigh_at
    ) as sampler:
        begin = time.monotonic()
        time.sleep(window_s)
        end = time.monotonic()
        eventually(lambda: sampler.peaks.looks, timeout=60)
    peaks, groups = sampler.peaks, sampler.group_cpu_s(begin, end)
    figures = {
        "cores": sampler.cpu_s(begin, end) / window_s,
        "superlink_cores": groups[SERVER] / window_s,
        "wire_mb_per_s": sampler.carried_mb(begin, end) / window_s,
        **peaks.figures(),
        "superlink_mb": max(
            (high_water_mb(r.pid) for r in federation.roots if r.role == "superlink"), default=0.0
        ),
    }
    return Trial([], figures, dict(peaks.by_role), {g: s / window_s for g, s in groups.items()})
