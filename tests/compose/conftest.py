"""The engine and images these tests need, and the federations that many of them share."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import pytest
from images.inputs import local_image
from python_on_whales import DockerClient

from tests.compose.deployment import Deployment, forget_environment
from tests.compose.project import Project, remove_leftovers
from tests.harness.toolset import ROOT

HERE: Final = Path(__file__).parent
PACKAGE: Final = "package_of_a_test"
# Set where a missing engine must not go unnoticed: failures instead of skipped tests.
REQUIRED: Final = bool(os.environ.get("FLWR_TEST_ENGINE_REQUIRED"))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Make engine and images ready before a test's clock runs; else skip all, and say why."""
    ours = [item for item in items if HERE in item.path.parents]
    if not ours or config.getoption("collectonly"):
        return
    forget_environment()
    reason = _missing_engine() or _missing_images()
    if reason is None:
        remove_leftovers()
    elif REQUIRED:
        raise pytest.UsageError(reason)
    else:
        for item in ours:
            item.add_marker(pytest.mark.skip(reason=reason))


def _missing_engine() -> str | None:
    if not _has_engine() and os.geteuid() == 0:  # nobody else may start one
        _run("scripts/engine.py", "up")
    return None if _has_engine() else "no Docker engine answers: make engine, or start yours"


def _missing_images() -> str | None:
    """Build what is missing or older than its sources: a stale image would prove nothing."""
    if os.geteuid() != 0 and not (ROOT / ".state" / "images").exists():
        return "the images are not built: make images"
    return None if _run("images/build.py") else "the images do not build: make images"


def _has_engine() -> bool:
    return _does("docker", "info")


def _run(script: str, *args: str) -> bool:
    """Run one of the project's scripts."""
    sys.stderr.write(f"\n{script} {' '.join(args)} ...\n")
    return subprocess.run([sys.executable, ROOT / script, *args], check=False).returncode == 0


def _does(*argv: str) -> bool:
    if shutil.which(argv[0]) is None:
        return False
    return subprocess.run(argv, capture_output=True, check=False, timeout=30).returncode == 0


@pytest.fixture(scope="session")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Three nodes on one host, with TLS and keys: for tests that leave it as they found it."""
    limits = {"FLWR_CLIENTAPP_MEMORY": "384m", "FLWR_APP_PIDS": "200"}
    root = tmp_path_factory.mktemp("deployment")
    with Deployment(root, nodes=3, variables=limits) as shared:
        shared.up()
        yield shared


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Deployment]:
    """Two nodes' files and keys: the test starts them, and may break them."""
    with Deployment(tmp_path) as own:
        yield own


@pytest.fixture(scope="session")
def images_with_a_package(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Images for apps that need a package: derived as users do, and gone afterwards."""
    root, docker = tmp_path_factory.mktemp("images"), DockerClient()
    (root / f"{PACKAGE}.py").write_text("")
    made = {}
    for role in ("serverapp", "clientapp"):
        (root / "Dockerfile").write_text(
            f"FROM {local_image(ROOT, role)}\n"
            f"COPY {PACKAGE}.py /opt/venv/lib/python3.13/site-packages/\n",
        )
        made[role] = f"flwr-test/{role}:{os.getpid()}"
        build = ["docker", "build", "--quiet", "--network=none", "--tag", made[role], str(root)]
        subprocess.run(build, check=True, capture_output=True)
    yield made
    docker.image.remove(list(made.values()), force=True)


@pytest.fixture(scope="session")
def server(
    tmp_path_factory: pytest.TempPathFactory, images_with_a_package: dict[str, str]
) -> Iterator[Deployment]:
    """A server's project alone; sites of other projects dial it at its published port."""
    image = {"FLWR_SERVERAPP_IMAGE": images_with_a_package["serverapp"]}
    root = tmp_path_factory.mktemp("server")
    with Deployment(root, nodes=0, keys=3, files=["server.yaml"], variables=image) as alone:
        alone.up()
        yield alone


@pytest.fixture(scope="session")
def sites(
    server: Deployment, images_with_a_package: dict[str, str]
) -> Iterator[dict[int, Project]]:
    """Two sites of other organisations, by the number of their keys."""
    image = {"FLWR_CLIENTAPP_IMAGE": images_with_a_package["clientapp"]}
    with ExitStack() as stack:
        made = {}
        for number in (1, 2):
            part = {"FLWR_NODE_1_CONFIG": f"partition-id={number - 1} num-partitions=2"}
            site = server.site(number, variables={**image, **part})
            made[number] = stack.enter_context(site)
            made[number].up(wait=False)
        server.await_nodes(2)
        for site in made.values():
            site.up()
        yield made
