#!/usr/bin/env python3
"""Run every suite as continuous integration does, and say at the end what ran and what did not.

Containers come last: they need Docker Engine; images older than their sources are built
anew.  With paths as arguments, runs just those.

A few tests that fail are run once more, alone: whoever passes then has met a busy machine, or
has a race.  The summary names it as UNSTEADY, and what it said first stands above.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
NOT_RUN: Final = (
    "upstream releases other than 1.29.0: make interop-matrix",
    "what repeats at length what shorter tests prove: make test-long",
    "the store on a PostgreSQL of yours: make test-postgres",
    "the PyTorch example, 3 GB to fetch: make test-torch",
    "simulations on Ray in containers: make test-long T=tests/compose/simulation",
)
SHORT: Final = ("-m", "not matrix and not long and not torch")
# What waits, for others or for the disk, leaves a core to somebody: three at a time keep two busy.
PARALLEL: Final = ("-n", "3", "--dist", "loadfile")  # what a file shares is made once
TRIED_AGAIN: Final = 3  # failures of a suite; more are no accident
FAILURES: Final = 1  # what pytest exits with when tests failed, and it was not broken off
FEDERATIONS: Final = ("-v", *PARALLEL, "--durations=10", *SHORT)


@dataclass(frozen=True, slots=True)
class Suite:
    """Tests that run together."""

    name: str
    args: Sequence[str]
    needs_engine: bool = False


SUITES: Final = (
    Suite("unit and contract", ["tests/unit", "tests/contract", "-q", "-n", "3"]),
    Suite("simulation", ["tests/simulation", "-q", *PARALLEL, "--durations=5", *SHORT]),
    Suite("integration", ["tests/integration", *FEDERATIONS]),
    Suite("interop with upstream 1.29.0", ["tests/interop", *FEDERATIONS]),
    Suite("containers", ["tests/compose", "-v", "--durations=15", *SHORT], needs_engine=True),
)


def why_no_containers() -> str | None:
    """Return why federations in containers cannot be tested here; None when they can."""
    if not succeeds("docker", "version"):
        if os.geteuid() != 0:
            return "no Docker Engine answers, and only root may start one: sudo make engine"
        if not succeeds(sys.executable, "scripts/engine.py", "up"):
            return "no Docker Engine is installed here: make engine"
    if not succeeds("docker", "compose", "version"):
        return "docker has no Compose here: make engine"
    return None


def succeeds(*command: str) -> bool:
    """Tell whether a command can be run and ends well."""
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    except OSError:
        return False
    return done.returncode == 0


def run(suite: Suite, extra: Sequence[str]) -> tuple[int, str]:
    """Run one suite; return its exit code and its line of the summary."""
    print(f"\n=== {suite.name} ===", flush=True)
    if suite.needs_engine and (reason := why_no_containers()):
        print(f"NOT RUN: {reason}", flush=True)
        is_required = bool(os.environ.get("FLWR_TEST_ENGINE_REQUIRED"))
        return int(is_required), f"NOT RUN {suite.name}  ({reason})"
    started = time.monotonic()
    code, failed = pytest([*suite.args, *extra])
    unsteady: list[str] = []
    if code == FAILURES and 0 < len(failed) <= TRIED_AGAIN:
        print(f"\n=== {suite.name}: once more, alone ===", flush=True)
        code, _ = pytest(["-v", *failed])
        unsteady = failed if code == 0 else []
    took = time.monotonic() - started
    verdict = "passed " if code == 0 else "FAILED "
    names = [f"\nUNSTEADY {test}  (failed, then passed alone: mend it)" for test in unsteady]
    return code, "".join([f"{verdict} {suite.name}  ({took:.0f} s)", *names])


def pytest(args: Sequence[str]) -> tuple[int, list[str]]:
    """Run tests; return the exit code and the ids of those that failed."""
    with tempfile.TemporaryDirectory() as cache:
        command = [sys.executable, "-m", "pytest", "-o", f"cache_dir={cache}", *args]
        code = subprocess.run(command, cwd=ROOT, check=False).returncode
        found = Path(cache) / "v/cache/lastfailed"
        return code, sorted(json.loads(found.read_text())) if found.exists() else []


def main(argv: list[str]) -> int:
    """Run the suites; return the first failing exit code, 0 when all passed."""
    if any(argument in {"-h", "--help"} for argument in argv):
        print(f"{__doc__}\nUsage: run_tests.py [PATH...] [PYTEST-OPTION...]")
        return 0
    is_chosen = any(not argument.startswith("-") for argument in argv)
    suites = [Suite("chosen tests", argv)] if is_chosen else SUITES
    results = [run(suite, [] if is_chosen else argv) for suite in suites]
    print("\n=== summary ===")
    for _, line in results:
        print(line)
    for what in () if is_chosen else NOT_RUN:
        print(f"NOT RUN {what}")
    return next((code for code, _ in results if code), 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
