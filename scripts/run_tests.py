#!/usr/bin/env python3
"""Run every suite as continuous integration does, and say at the end what ran and what did not.

Fast suites share the cores; federations of processes run one after the other, since their tests
assert bounds on real time.  With paths as arguments, runs just those.
"""

import subprocess
import sys
import time
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
NOT_RUN: Final = (
    "upstream releases other than 1.29.0 (make interop-matrix)",
    "the store on PostgreSQL (make test-postgres; set FLWR_TEST_POSTGRES_URL)",
)
SUITES: Final = (
    ("unit and contract", ["tests/unit", "tests/contract", "-q", "-n", "2"]),
    ("simulation", ["tests/simulation", "-v"]),
    ("integration", ["tests/integration", "-v", "--durations=10"]),
    ("interop with upstream 1.29.0", ["tests/interop", "-v", "-m", "not matrix"]),
)


def main(argv: list[str]) -> int:
    """Run the suites; return the first failing exit code, 0 when all passed."""
    chosen = [("chosen tests", argv)] if any(not a.startswith("-") for a in argv) else SUITES
    extra = [] if chosen is not SUITES else argv
    results: list[tuple[str, int, float]] = []
    for name, args in chosen:
        print(f"\n=== {name} ===", flush=True)
        started = time.monotonic()
        pytest = [sys.executable, "-m", "pytest", *args, *extra]
        code = subprocess.run(pytest, cwd=ROOT, check=False).returncode
        results.append((name, code, time.monotonic() - started))
    print("\n=== summary ===")
    for name, code, seconds in results:
        print(f"{'passed' if code == 0 else 'FAILED'}  {name}  ({seconds:.0f} s)")
    for what in NOT_RUN if chosen is SUITES else ():
        print(f"not run  {what}")
    return next((code for _, code, _ in results if code), 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
