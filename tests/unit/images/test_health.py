"""images/health.py: when a container counts as healthy."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from images.health import LIMIT_S, ailment

from tests.harness.toolset import ROOT


@pytest.fixture
def touched(tmp_path: Path) -> Path:
    file = tmp_path / "health"
    file.touch()
    os.utime(file, (1000, 1000))
    return file


@pytest.mark.parametrize("age", [0, 2, LIMIT_S, -1])
def test_a_file_that_was_just_touched_is_healthy(touched: Path, age: float) -> None:
    assert ailment(str(touched), 1000 + age) == ""


def test_a_file_that_nobody_touches_is_not(touched: Path) -> None:
    assert "was last touched 16 s ago" in ailment(str(touched), 1016)


def test_a_file_from_before_the_clock_was_set_back_is_not(touched: Path) -> None:
    assert "3600 s in the future" in ailment(str(touched), 1000 - 3600)


def test_no_file_is_not_healthy(tmp_path: Path) -> None:
    assert "No such file" in ailment(str(tmp_path / "health"), 1000)


def test_the_probe_ends_with_what_it_found(tmp_path: Path) -> None:
    file = tmp_path / "health"
    probe = [sys.executable, "-I", "-S", str(ROOT / "images" / "health.py"), str(file)]

    absent = subprocess.run(probe, check=False, capture_output=True, text=True)
    file.touch()
    os.utime(file, (time.time(), time.time()))
    fresh = subprocess.run(probe, check=False, capture_output=True, text=True)

    assert (absent.returncode, fresh.returncode, fresh.stdout) == (1, 0, "")
    assert "not serving" in absent.stdout
