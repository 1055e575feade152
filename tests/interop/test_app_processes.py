"""SuperExecs and app processes of one package on the daemons of the other (clear-text AppIo)."""

import warnings
from collections.abc import Iterator
from functools import partial
from typing import Final

import pytest

from flwr.core.ids import RunId
from tests.harness.apps import TINY, config, digest_in
from tests.harness.federation import CONNECTION, Federation
from tests.harness.ports import free_address
from tests.harness.program import eventually
from tests.harness.toolset import OURS, Toolset
from tests.interop.conftest import PATIENT

pytestmark = PATIENT

LOST: Final = "Start time or end time for message ID"
"""Upstream's SuperNode on a reply that it found before the app's outputs: it deletes the reply."""
ATTEMPTS: Final = 3


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
    assert digest_in(_log_of_run(our_apps_on_upstreams)) == upstream_digest


@pytest.mark.parametrize("how", ["client-raises", "client-exits", "client-killed"])
def test_our_failed_clientapp_is_answered_for_on_upstreams_supernode(
    our_apps_on_upstreams: Federation, upstream_digest: str, how: str
) -> None:
    log = _log_of_run(our_apps_on_upstreams, *config(fail=how, evaluate=False))

    assert digest_in(log) != upstream_digest, "round 2 has one update only"


def _log_of_run(federation: Federation, *overrides: str) -> str:
    """Run the app and return its log; again where upstream's node lost a reply.

    It does so with its own apps, too: it looks for replies every few seconds, and may find one
    before its app has said that it is done.
    """
    for _ in range(ATTEMPTS):
        before = _lost(federation)
        run_id = federation.submit(TINY, *overrides)
        eventually(partial(_is_over, federation, run_id, before), timeout=150, step=0.3)
        if _is_final(federation, run_id):
            return federation.log_of(run_id)
        warnings.warn(f"upstream's SuperNode lost a reply of run {run_id}: again", stacklevel=2)
        federation.flwr("stop", run_id, CONNECTION)
    raise AssertionError(f"upstream's SuperNodes lost a reply in {ATTEMPTS} runs in a row")


def _is_over(federation: Federation, run_id: str, before: int) -> bool:
    return _lost(federation) > before or _is_final(federation, run_id)


def _is_final(federation: Federation, run_id: str) -> bool:
    with federation.open_control() as control:
        (run,), _ = control.list_runs(RunId(int(run_id)))
        return run.is_final


def _lost(federation: Federation) -> int:
    return sum(one.output.count(LOST) for one in federation.programs)


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
