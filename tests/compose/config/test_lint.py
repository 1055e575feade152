"""The Compose linter and hadolint find nothing."""

import shutil
import subprocess

import pytest

from tests.harness.toolset import ROOT


@pytest.mark.long
@pytest.mark.skipif(shutil.which("npm") is None, reason="no npm here, which has the linter")
def test_the_linters_find_nothing() -> None:
    done = subprocess.run(
        ["make", "--no-print-directory", "containers"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
