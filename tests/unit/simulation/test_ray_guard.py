"""Who goes when a run of Ray is killed, and who stays; without Ray."""

import os
import select
import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

RUN: Final = """
import subprocess, sys, time
from pathlib import Path
from flwr.simulation.ray_guard import guarded

def hold(path):
    return subprocess.Popen(["sleep", "60"], stdout=open(path, "w"), start_new_session=True).pid

folder, other = map(Path, sys.argv[1:3])
with guarded(folder):
    print(hold(folder / "agent.log"), hold(other / "agent.log"), flush=True)
    if len(sys.argv) == 3:
        time.sleep(60)
"""


def start(folder: Path, *args: str) -> tuple[subprocess.Popen[str], int, int]:
    """Start a run; return it, the process of its folder, and that of a folder beside it."""
    own, other = folder / "ray", folder / "ray-2"
    for made in (own, other):
        made.mkdir()
    argv = [sys.executable, "-c", RUN, str(own), str(other), *args]
    run = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
    assert run.stdout is not None
    with run.stdout:
        agent, bystander = map(int, run.stdout.readline().split())
    return run, os.pidfd_open(agent), os.pidfd_open(bystander)


def has_ended(handle: int, within_s: float) -> bool:
    return bool(select.select([handle], [], [], within_s)[0])


def test_processes_of_a_killed_run_go_with_their_folder_and_no_others(tmp_path: Path) -> None:
    run, agent, bystander = start(tmp_path)
    try:
        run.send_signal(signal.SIGKILL)
        run.wait(60)
        assert has_ended(agent, 60)
        assert not has_ended(bystander, 0)
    finally:
        signal.pidfd_send_signal(bystander, signal.SIGKILL)


def test_a_run_that_ends_by_itself_needs_no_guard(tmp_path: Path) -> None:
    run, agent, bystander = start(tmp_path, "end")
    try:
        assert run.wait(60) == 0
        assert not has_ended(agent, 0.3)
    finally:
        for left in (agent, bystander):
            signal.pidfd_send_signal(left, signal.SIGKILL)
