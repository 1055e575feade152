"""Upstream's SuperExec and app processes on our SuperLink and SuperNode (clear-text AppIo)."""

from pathlib import Path

from tests.harness.apps import TINY, digest_in
from tests.harness.federation import Federation, free_address
from tests.harness.toolset import OURS, Toolset


def test_upstreams_superexec_and_apps_serve_our_daemons(
    tmp_path: Path, tls: bool, peer: Toolset, upstream_digest: str
) -> None:
    clear_text = ["--isolation", "process", "--appio-insecure"]
    with Federation(tmp_path, tls=tls) as federation:
        federation.start_superlink(OURS, *clear_text)
        _superexec(federation, peer, "serverapp", federation.serverappio)
        for number in (1, 2):
            address = free_address()
            flags = [*clear_text, "--clientappio-api-address", address]
            node = federation.start_node(number, OURS, *flags)
            node.await_port(address)
            _superexec(federation, peer, "clientapp", address, f"superexec-node-{number}")
        federation.await_nodes(2)

        run = federation.await_end(federation.submit(TINY))

        assert run["status"] == "finished:completed", run
        assert digest_in(federation.log_of(run["run-id"])) == upstream_digest


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
