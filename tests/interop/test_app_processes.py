"""SuperExecs and app processes of one package on the daemons of the other (clear-text AppIo)."""

from collections.abc import Iterator

import pytest

from tests.harness.apps import TINY, config, digest_in
from tests.harness.federation import CONNECTION, Federation
from tests.harness.ports import free_address
from tests.harness.toolset import OURS, Toolset
from tests.interop.conftest import PATIENT

pytestmark = PATIENT


@pytest.fixture(scope="module")
def our_apps_on_upstreams(
    tmp_path_factory: pytest.TempPathFactory, peer: Toolset
) -> Iterator[Federation]:
    """Upstream's SuperLink and SuperNodes; everything that runs an app is ours."""
    with Federation(tmp_path_factory.mktemp("our-apps"), tls=False) as federation:
        _start(federation, daemons=peer, apps=OURS)
        yield federation


def test_upstreams_superexec_and_apps_serve_our_daemons(
    tmp_path_factory: pytest.TempPathFactory, tls: bool, peer: Toolset, upstream_digest: str
) -> None:
    with Federation(tmp_path_factory.mktemp("their-apps"), tls=tls) as federation:
        _start(federation, daemons=OURS, apps=peer)

        run = federation.await_end(federation.submit(TINY, *config(evaluate=not tls)))

        assert run["status"] == "finished:completed", run
        assert digest_in(federation.log_of(run["run-id"])) == upstream_digest


def test_our_superexec_and_apps_serve_upstreams_daemons(
    our_apps_on_upstreams: Federation, upstream_digest: str
) -> None:
    federation = our_apps_on_upstreams

    done = federation.flwr("run", str(TINY), CONNECTION, "--stream", timeout=150)

    assert digest_in(done.stdout) == upstream_digest


@pytest.mark.parametrize("how", ["client-raises", "client-exits", "client-killed"])
def test_our_failed_clientapp_is_answered_for_on_upstreams_supernode(
    our_apps_on_upstreams: Federation, upstream_digest: str, how: str
) -> None:
    federation = our_apps_on_upstreams

    done = federation.flwr(
        "run", str(TINY), CONNECTION, "--stream", *config(fail=how, evaluate=False), timeout=150
    )

    assert digest_in(done.stdout) != upstream_digest, "round 2 has one update only"


def _start(federation: Federation, *, daemons: Toolset, apps: Toolset) -> None:
    clear_text = ["--isolation", "process"] + (["--appio-insecure"] if daemons.is_ours else [])
    federation.start_superlink(daemons, *clear_text)
    _superexec(federation, apps, "serverapp", federation.serverappio)
    for number in (1, 2):
        address = free_address()
        flags = [*clear_text, "--clientappio-api-address", address]
        node = federation.start_node(number, daemons, *flags)
        node.await_port(address)
        _superexec(federation, apps, "clientapp", address, f"superexec-node-{number}")
    federation.await_nodes(2)


def _superexec(
    federation: Federation, tools: Toolset, kind: str, address: str, name: str = ""
) -> None:
    federation.start(
        name or f"superexec-{kind}",
        tools,
        "flower-superexec",
        "--insecure",
        "--appio-api-address",
        address,
        "--plugin-type",
        kind,
    )
