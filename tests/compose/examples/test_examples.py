"""Every example learns in a federation of containers, whose app images have what it needs."""

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from python_on_whales import DockerClient

from tests.compose.deployment import Deployment
from tests.harness.apps import DIGITS, config
from tests.harness.examples import BY_NAME, Example, result_in
from tests.harness.toolset import ROOT
from tests.interop.app_list import FOLDER
from tests.interop.app_results import assert_equal, results_in
from tests.interop.telling import TOLERANCE, telling_digits
from tests.simulation.commands import run

NODES: Final = 3
pytestmark = pytest.mark.timeout(560)  # packages are fetched at first


def images_of(app: Path) -> dict[str, str]:
    """Return the app's two images as settings of an operator; they are made where they lack."""
    tool = [sys.executable, str(ROOT / "images" / "app_image.py"), str(app)]
    done = subprocess.run([*tool, "--format=json"], capture_output=True, text=True, check=False)
    if done.returncode == 3:
        pytest.skip(f"packages cannot be fetched here: {done.stderr}")
    assert done.returncode == 0, done.stderr
    return {f"FLWR_{role.upper()}_IMAGE": name for role, name in json.loads(done.stdout).items()}


@contextmanager
def federation_with(images: dict[str, str], root: Path) -> Iterator[Deployment]:
    """Start a federation whose executors have an app's packages."""
    with Deployment(root, nodes=NODES, variables=images) as deployment:
        deployment.up()
        yield deployment


@pytest.fixture(scope="module")
def of_the_demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A federation with the images of ``make demo``: they have scikit-learn."""
    with federation_with(images_of(DIGITS), tmp_path_factory.mktemp("demo")) as federation:
        yield federation


@pytest.fixture
def own_images(example: Example) -> Iterator[dict[str, str]]:
    """The example's images and packages are gone afterwards, unless they were here before."""
    docker, folder = DockerClient(), ROOT / ".state" / "apps" / example.name
    before = {tag for image in docker.image.list() for tag in image.repo_tags}
    was_fetched = folder.exists()
    images = images_of(example.folder)
    yield images
    docker.image.remove([name for name in images.values() if name not in before])
    if not was_fetched:
        shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("name", "overrides"),
    [
        ("logistic-regression", {"num-server-rounds": 1}),
        pytest.param("federated-analytics", {}, marks=pytest.mark.long),
        pytest.param("sklearn-mlp", {}, marks=pytest.mark.long),
    ],
)
def test_an_example_runs_with_the_images_of_the_demo(
    of_the_demo: Deployment, name: str, overrides: dict[str, float]
) -> None:
    has_to_learn(BY_NAME[name], of_the_demo, **overrides)


@pytest.mark.row("S70")
@pytest.mark.parametrize(
    ("name", "rounds"),
    [
        ("digits", config(num_server_rounds=2)),
        ("numpy-fedavg", ()),
        pytest.param("mods-in-a-row", (), marks=pytest.mark.long),
    ],
)
def test_containers_and_the_pool_end_with_the_same_parameters(
    of_the_demo: Deployment, tmp_path: Path, name: str, rounds: tuple[str, ...]
) -> None:
    app = telling_digits(tmp_path) if name == "digits" else FOLDER / name

    deployed = of_the_demo.await_end(of_the_demo.submit(app, *rounds), timeout=400)
    simulated, document = run(tmp_path / "pool", app, NODES, "--backend", "pool", *rounds)

    assert deployed["status"] == "finished:completed"
    assert document["fab-hash"].startswith(deployed["fab-hash"])
    wanted = results_in(simulated)
    assert any(line.startswith(("model", "outcome")) for line in wanted), simulated[-3000:]
    assert_equal(results_in(of_the_demo.log_of(deployed["run-id"])), wanted, TOLERANCE)


@pytest.mark.row("S50", "S51")
@pytest.mark.parametrize(
    ("example", "overrides"),
    [
        pytest.param(BY_NAME["xgboost-bagging"], {}, id="xgboost", marks=pytest.mark.long),
        pytest.param(
            BY_NAME["pytorch-cnn"],
            {"num-server-rounds": 2},
            id="pytorch",
            marks=[pytest.mark.torch, pytest.mark.long, pytest.mark.timeout(1500)],
        ),
    ],
)
def test_an_example_runs_with_images_of_its_own(
    tmp_path: Path, example: Example, overrides: dict[str, float], own_images: dict[str, str]
) -> None:
    with federation_with(own_images, tmp_path) as federation:
        has_to_learn(example, federation, **overrides)


def has_to_learn(example: Example, federation: Deployment, **overrides: float) -> None:
    """Run an example to its end, and judge its result."""
    run_id = federation.submit(example.folder, *config(**{**example.config, **overrides}))
    run = federation.await_end(run_id, timeout=400)
    log = federation.log_of(run_id)
    assert run["status"] == "finished:completed", f"{run}\n{log[-3000:]}"
    assert example.has_learned(result_in(log)), result_in(log)
