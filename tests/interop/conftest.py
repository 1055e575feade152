"""Upstream's programs, what its own federation computes, and federations that tests share."""

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.harness.apps import TINY, config, digest_in
from tests.harness.federation import CONNECTION, Federation
from tests.harness.toolset import Toolset, upstream

# The first test of a file waits for the federations it shares with others, also on a busy machine.
PATIENT: Final = pytest.mark.timeout(420)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Function,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Show the programs' logs of a shared federation with the test that failed in it."""
    report = yield
    for federation in item.funcargs.values():
        if report.when == "call" and report.failed and isinstance(federation, Federation):
            report.sections += [(f"{p.name} log", p.output[-3000:]) for p in federation.programs]
    return report


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(False, marks=pytest.mark.long, id="insecure"),
        pytest.param(True, id="tls"),
    ],
)
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
        # Without evaluation, which changes no model: upstream starts one process per message.
        train_only = config(evaluate=False)
        done = federation.flwr(
            "run", str(TINY), CONNECTION, "--stream", *train_only, tools=peer, timeout=180
        )
        return digest_in(done.stdout)


@pytest.fixture(scope="module")
def our_federation(tmp_path_factory: pytest.TempPathFactory, tls: bool) -> Iterator[Federation]:
    """Our SuperLink and two of our SuperNodes, shared by the tests of a file."""
    with Federation(tmp_path_factory.mktemp("ours"), tls=tls) as federation:
        federation.start_superlink()
        federation.start_node(1)
        federation.start_node(2)
        federation.await_nodes(2)
        yield federation


@pytest.fixture(scope="module")
def upstreams_federation(
    tmp_path_factory: pytest.TempPathFactory, tls: bool, peer: Toolset
) -> Iterator[Federation]:
    """Upstream's SuperLink with one SuperNode of ours and one of its own."""
    with Federation(tmp_path_factory.mktemp("upstreams"), tls=tls) as federation:
        federation.start_superlink(peer)
        federation.start_node(1)
        federation.start_node(2, peer)
        federation.await_nodes(2)
        yield federation
