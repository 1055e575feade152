"""What disturbs a measurement, and that nothing outlives it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench import surroundings
from tests.bench.processes import TICKS_PER_S
from tests.bench.surroundings import Noise, Ticks
from tests.harness.toolset import ROOT

ORPHANING = """
import subprocess, sys
from tests.bench import surroundings
surroundings.adopt_orphans()
subprocess.run(["sh", "-c", "setsid sleep 60 & sleep 60 & echo $!"])
surroundings.end_everything_below()
"""


def test_the_machines_time_is_read() -> None:
    text = "cpu  10 20 30 400 50 1 2 7 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\n"
    ticks = Ticks.read(text)
    assert ticks.total_s == pytest.approx(520 / TICKS_PER_S)
    assert ticks.busy_s == pytest.approx(63 / TICKS_PER_S)
    assert ticks.steal_s == pytest.approx(7 / TICKS_PER_S)


@pytest.mark.parametrize(
    ("steal", "others", "is_loud"), [(0.0, 0.0, False), (0.06, 0.0, True), (0.0, 0.2, True)]
)
def test_a_measurement_is_loud_when_others_used_the_machine(
    steal: float, others: float, is_loud: bool
) -> None:
    assert Noise(steal, others, 0.0).is_loud is is_loud


def test_what_goes_on_is_a_share_of_the_machine() -> None:
    noise = surroundings.NoiseWatch().noise()
    assert 0.0 <= noise.steal <= 1.0
    assert 0.0 <= noise.others <= 1.0


def test_nothing_is_left_of_processes_whose_parent_has_ended() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ORPHANING],
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
        cwd=ROOT,
    )
    pid = int(done.stdout)
    assert not Path(f"/proc/{pid}").exists()


def test_the_machine_and_the_commit_have_names() -> None:
    assert surroundings.facts()["cores"]
    assert surroundings.commit()
