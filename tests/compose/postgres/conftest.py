"""A federation on PostgreSQL, and a database server that this host reaches, too."""

import secrets
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from images.inputs import local_image
from python_on_whales import DockerClient

from tests.compose.deployment import Deployment
from tests.compose.project import PREFIX
from tests.harness.ports import free_address
from tests.harness.program import eventually
from tests.harness.toolset import ROOT

DOCKER = DockerClient()
IMAGE = local_image(ROOT, "postgres")
_UID = 10001


@pytest.fixture(scope="session", autouse=True)
def image() -> str:
    """The image of the overlay; building it needs Debian's packages."""
    if not DOCKER.image.exists(IMAGE):
        pytest.skip(f"{IMAGE} is not built: make images")
    return IMAGE


@pytest.fixture(scope="package")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Two nodes, and a SuperLink whose state is in PostgreSQL."""
    root = tmp_path_factory.mktemp("postgres")
    with Deployment(root, overlays=["postgres.server"]) as deployment:
        tool = [sys.executable, str(ROOT / "compose" / "database_secret.py")]
        subprocess.run([*tool, "--out", str(deployment.certs)], check=True, capture_output=True)
        deployment.up()
        yield deployment


@dataclass(frozen=True)
class Database:
    """A server with an empty database; ``network`` is where containers find it as ``database``."""

    port: int
    password: str
    network: str

    def url(self, *, inside: bool) -> str:
        """Return how the SuperLink, in a container or on this host, names the database."""
        place = "database:5432" if inside else f"127.0.0.1:{self.port}"
        return f"postgresql+psycopg://flwr:{self.password}@{place}/flwr"

    def connect(self) -> psycopg.Connection[tuple[object, ...]]:
        """Connect from this host."""
        plain = self.url(inside=False).replace("+psycopg", "")
        return psycopg.connect(plain, connect_timeout=5)

    def answers(self) -> bool:
        """Whether it can be used yet."""
        try:
            self.connect().close()
        except psycopg.OperationalError:
            return False
        return True


@pytest.fixture(scope="package")
def database(tmp_path_factory: pytest.TempPathFactory, image: str) -> Iterator[Database]:
    """A server of its own, published on loopback for the length of these tests."""
    folder, port = tmp_path_factory.mktemp("secrets"), free_address()
    password = secrets.token_urlsafe(16)
    share(folder / "password", password)
    network = DOCKER.network.create(f"{PREFIX}-{secrets.token_hex(4)}")
    container = DOCKER.run(
        image,
        ["-c", "fsync=off"],  # nobody cuts the power here
        detach=True,
        envs={"POSTGRES_USER": "flwr", "POSTGRES_DB": "flwr"},
        networks=[network],
        network_aliases=["database"],
        publish=[(port, 5432)],
        volumes=[(folder, "/run/secrets", "ro")],
        tmpfs=["/tmp"],  # noqa: S108  the container's own
    )
    made = Database(int(port.split(":")[1]), password, network.name)
    try:
        eventually(made.answers, timeout=60, step=0.2, otherwise=lambda: str(container.logs()))
        yield made
    finally:
        container.remove(force=True, volumes=True)
        network.remove()


def share(path: Path, text: str) -> None:
    """Write a file that the containers' user can read."""
    path.parent.chmod(0o755)
    path.write_text(text)
    path.chmod(0o644)
