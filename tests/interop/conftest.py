"""Upstream's programs, and what its own federation computes."""

from pathlib import Path

import pytest

from tests.harness.apps import TINY, digest_in
from tests.harness.federation import CONNECTION, Federation
from tests.harness.toolset import Toolset, upstream


@pytest.fixture(params=[False, True], ids=["insecure", "tls"])
def tls(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture(scope="session")
def peer() -> Toolset:
    """Upstream's release of the contract."""
    return require(upstream("1.29.0"))


def require(tools: Toolset) -> Toolset:
    assert tools.is_installed, f"{tools.name} is not installed: make interop-matrix installs it"
    return tools


@pytest.fixture(scope="session")
def upstream_digest(tmp_path_factory: pytest.TempPathFactory, peer: Toolset) -> str:
    """The tiny app's final model when every program is upstream's."""
    root: Path = tmp_path_factory.mktemp("upstream-only")
    with Federation(root, tls=False) as federation:
        federation.start_superlink(peer)
        federation.start_node(1, peer)
        federation.start_node(2, peer)
        done = federation.flwr("run", str(TINY), CONNECTION, "--stream", tools=peer, timeout=180)
        return digest_in(done.stdout)
