"""What a newcomer types first."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.harness.federation import Federation
from tests.harness.toolset import OURS, ROOT


@pytest.mark.long
def test_the_local_demo_trains_a_model_above_ninety_percent() -> None:
    demo = [sys.executable, str(ROOT / "scripts" / "demo_local.py"), "--nodes", "2"]
    done = subprocess.run(demo, capture_output=True, text=True, timeout=150, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "finished:completed" in done.stdout
    accuracy = re.search(r"Accuracy on digits no node has seen: (\d\.\d+)", done.stdout)
    assert accuracy
    assert float(accuracy[1]) > 0.90


@pytest.mark.row("S44")
def test_new_and_run_in_an_empty_folder_work(tmp_path: Path) -> None:
    with Federation(tmp_path, tls=False) as federation:
        home = tmp_path / "work"
        home.mkdir()
        federation.flwr("new", "my-app", cwd=home)
        assert (home / "my-app" / "pyproject.toml").exists()

        local = federation.root / "local-home"
        env = {**federation.environment(OURS, "newcomer"), "FLWR_HOME": str(local)}
        flwr = OURS.program("flwr")
        try:
            done = subprocess.run(
                [flwr, "run", "my-app", "--stream", "--wait"],
                cwd=home, env=env, capture_output=True, text=True, timeout=120, check=False,
            )  # fmt: skip
        finally:
            stopped = subprocess.run([flwr, "local", "stop"], env=env, check=False, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Final results" in done.stdout
        assert stopped.returncode == 0
