"""The federation that is struck again and again, and is whole before each blow."""

from collections.abc import Iterator

import pytest

from tests.compose.deployment import Deployment


@pytest.fixture(scope="package")
def struck(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Two nodes with TLS and keys."""
    with Deployment(tmp_path_factory.mktemp("faults")) as deployment:
        deployment.up()
        yield deployment


@pytest.fixture
def federation(struck: Deployment) -> Deployment:
    """The same federation, all containers healthy and both nodes online again."""
    for name in struck.project.services():
        struck.project.await_health(name)
    struck.await_nodes(2)
    return struck
