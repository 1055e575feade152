"""Two apps that cannot share an environment, and images for one of them."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.compose.deployment import Deployment
from tests.harness.toolset import ROOT

NEWER = ROOT / "tests" / "apps" / "versions"
_OLDER = {
    'name = "versions"': 'name = "older-versions"',
    '"numpy>=2.4"': '"numpy==2.2.6", "humanize==4.12.3"',
    "debian-packages = []": 'debian-packages = ["hello"]',
    'packages = "numpy"': 'packages = "numpy humanize"',
    'command = ""': 'command = "hello"',
}


@pytest.fixture(scope="package")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same code, with an older numpy, one more package and one of Debian's."""
    folder = tmp_path_factory.mktemp("apps") / "older"
    shutil.copytree(NEWER, folder, ignore=shutil.ignore_patterns("__pycache__"))
    project = folder / "pyproject.toml"
    text = project.read_text()
    for before, after in _OLDER.items():
        assert before in text
        text = text.replace(before, after)
    project.write_text(text)
    return folder


@pytest.fixture(scope="package")
def images(older: Path) -> dict[str, str]:
    """The app's two images by role, as ``make app-image`` builds them."""
    tool = [sys.executable, str(ROOT / "images" / "app_image.py"), str(older), "--format", "json"]
    done = subprocess.run(tool, capture_output=True, text=True, check=False)
    if done.returncode == 3:
        pytest.skip(f"packages cannot be fetched here: {done.stderr}")
    assert done.returncode == 0, done.stderr
    names: dict[str, str] = json.loads(done.stdout)
    return names


@pytest.fixture(scope="package")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """One node; the federation's own executors launch the newer app only."""
    variables = {
        "FLWR_SERVERAPP_ONLY_APPS": "acme/versions",
        "FLWR_CLIENTAPP_ONLY_APPS": "acme/versions",
    }
    root = tmp_path_factory.mktemp("app-images")
    with Deployment(root, nodes=1, variables=variables) as deployment:
        deployment.up()
        yield deployment
