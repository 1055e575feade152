"""Federations shared by tests that leave them as they found them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.federation import Federation


@pytest.fixture
def federation(tmp_path: Path) -> Iterator[Federation]:
    """An empty insecure federation; the test starts what it needs."""
    with Federation(tmp_path, tls=False) as empty:
        yield empty


@pytest.fixture
def secured(tmp_path: Path) -> Iterator[Federation]:
    """An empty federation with TLS and three node keys."""
    with Federation(tmp_path, tls=True, nodes=3) as empty:
        yield empty


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """SuperLink and two nodes with TLS, node keys and subprocess isolation, up and calm."""
    with Federation(tmp_path_factory.mktemp("running"), tls=True) as federation:
        federation.superlink = federation.start_superlink(node_auth=True)
        federation.nodes = [federation.start_node(n, keyed=True) for n in (1, 2)]
        federation.await_nodes(2)
        yield federation
