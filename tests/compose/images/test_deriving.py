"""Users derive from serverapp and clientapp: by hand, and by `images/app_image.py`."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from images import wheelhouse

from tests.compose.images.conftest import Images
from tests.harness.toolset import ROOT

pytestmark = pytest.mark.timeout(600)  # builds, downloads

OTHER_NUMPY: Final = "2.3.5"
TAG: Final = f"flwr-test/derived:{os.getpid()}"
APP: Final = """
[project]
name = "{name}"
version = "1.0"
dependencies = ["flwr>=1.29", {dependencies}]

[tool.flwr.app]
publisher = "test"

[tool.flwr-compose.image]
debian-packages = [{packages}]
"""


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheelhouse as users make it, with another numpy than the image's."""
    folder = tmp_path_factory.mktemp("wheels")
    wanted = ["--no-deps", f"numpy=={OTHER_NUMPY}"]
    wheelhouse.download(wanted, folder, wheelhouse.machine())
    return folder


@pytest.fixture
def tag() -> Iterator[str]:
    yield TAG
    subprocess.run(["docker", "image", "rm", "--force", TAG], check=False, capture_output=True)


def derive(
    parent: str, lines: str, tag: str, folder: Path, wheels: Path
) -> subprocess.CompletedProcess[str]:
    (folder / "Dockerfile").write_text(f"FROM {parent}\n{lines}\n")
    # A layer of an earlier run on this machine would say nothing of what pip does.
    command = ["docker", "buildx", "build", "--no-cache", "--network=none", f"--tag={tag}"]
    return subprocess.run(
        [*command, f"--build-context=wheels={wheels}", str(folder)],
        check=False,
        capture_output=True,
        text=True,
    )


def run(tag: str, *command: str) -> subprocess.CompletedProcess[str]:
    argv = ["docker", "run", "--rm", "--network=none", "--read-only", "--tmpfs=/tmp"]
    return subprocess.run(
        [*argv, f"--entrypoint={command[0]}", tag, *command[1:]],
        check=False,
        capture_output=True,
        text=True,
    )


@pytest.mark.row("S27")
def test_a_derived_image_brings_another_numpy_without_a_network(
    images: Images, wheels: Path, tmp_path: Path, tag: str
) -> None:
    line = (
        "RUN --mount=type=bind,from=wheels,target=/wheels "
        f"pip install --no-index --find-links=/wheels numpy=={OTHER_NUMPY}"
    )

    built = derive(images.name("clientapp"), line, tag, tmp_path, wheels)
    assert built.returncode == 0, built.stderr

    code = "import numpy, flwr.clientapp, os; print(numpy.__version__, flwr.__file__, os.getuid())"
    version, runtime, uid = run(tag, "python3", "-c", code).stdout.split()
    assert (version, uid) == (OTHER_NUMPY, "10001")
    assert runtime.startswith("/opt/flwr/")
    assert run(tag, "flwr-clientapp", "--version").returncode == 0
    assert run(tag, "pip", "check").returncode == 0


def test_what_the_image_has_is_not_installed_again(
    images: Images, wheels: Path, tmp_path: Path, tag: str
) -> None:
    line = 'RUN pip install --no-index "numpy>=1.26" "flwr[simulation]>=1.29" "protobuf>=6"'

    built = derive(images.name("serverapp"), line, tag, tmp_path, wheels)

    assert built.returncode == 0, built.stderr
    assert "Requirement already satisfied: numpy" in built.stderr


@pytest.mark.parametrize("package", ["protobuf<5", "flwr==1.20"])
def test_a_package_that_would_break_the_runtime_is_refused_at_build_time(
    images: Images, wheels: Path, tmp_path: Path, tag: str, package: str
) -> None:
    line = f'RUN pip install --no-index "{package}"'

    built = derive(images.name("clientapp"), line, tag, tmp_path, wheels)

    assert built.returncode != 0
    assert "(constraint)" in built.stderr or "conflicting" in built.stderr


def app(folder: Path, name: str, dependencies: str = "", packages: str = "") -> Path:
    text = APP.format(name=name, dependencies=dependencies, packages=packages)
    (folder / "pyproject.toml").write_text(text)
    return folder


def app_image(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "images" / "app_image.py"), str(folder), "--format=json"]
    return subprocess.run(command, check=False, capture_output=True, text=True)


@pytest.fixture
def name() -> Iterator[str]:
    """A name for an app; its images and files are gone afterwards."""
    name = f"derived-app-{os.getpid()}"
    yield name
    names = [f"flwr-compose/{name}-{role}:1.0" for role in ("serverapp", "clientapp")]
    subprocess.run(["docker", "image", "rm", "--force", *names], check=False, capture_output=True)
    subprocess.run(["rm", "-rf", str(ROOT / ".state" / "apps" / name)], check=True)


@pytest.mark.row("S27")
def test_an_app_s_images_come_from_its_pyproject(images: Images, tmp_path: Path, name: str) -> None:
    folder = app(tmp_path, name, f'"numpy=={OTHER_NUMPY}"', '"libgomp1"')

    first = app_image(folder)
    assert first.returncode == 0, first.stderr
    made = json.loads(first.stdout)
    again = app_image(folder)

    assert made["clientapp"] == f"flwr-compose/{name}-clientapp:1.0"
    assert "building" in first.stderr
    assert again.stderr == ""  # nothing to do
    for image in made.values():
        code = "import ctypes, numpy; ctypes.CDLL('libgomp.so.1'); print(numpy.__version__)"
        assert run(image, "python3", "-c", code).stdout.strip() == OTHER_NUMPY


def test_an_app_without_wheels_for_the_image_is_told_so(
    images: Images, tmp_path: Path, name: str
) -> None:
    refused = app_image(app(tmp_path, name, '"numpy==1.26.4"'))

    assert refused.returncode == 3
    assert "No matching distribution found for numpy==1.26.4" in refused.stderr
    assert "has a wheel for Python 3.13" in refused.stderr
    assert "Traceback" not in refused.stderr
