"""New certificates under a running federation: taken up without a restart, trusted as before."""

import socket
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from tests.compose.deployment import Deployment
from tests.harness.apps import TINY, config
from tests.harness.program import eventually
from tests.harness.toolset import ROOT


def shown_at(address: str, ca: Path) -> bytes:
    """Return the certificate a server shows, after a handshake that trusts only ``ca``."""
    host, _, port = address.rpartition(":")
    context = ssl.create_default_context(cafile=str(ca))
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection((host, int(port)), timeout=5) as plain,
        context.wrap_socket(plain, server_hostname=host) as tls,
    ):
        return tls.getpeercert(binary_form=True) or b""


def starts(deployment: Deployment) -> dict[str, object]:
    """Return when each container was started."""
    project = deployment.project
    return {name: project.container(name).state.started_at for name in project.services()}


@pytest.mark.long
@pytest.mark.row("F19", "S52")
def test_renewed_certificates_reach_running_containers_in_mid_run(empty: Deployment) -> None:
    empty.up()
    started = starts(empty)
    before = {address: shown_at(address, empty.ca) for address in (empty.fleet, empty.control)}
    run_id = empty.submit(TINY, *config(num_rounds=3))

    pki = [sys.executable, str(ROOT / "certs" / "pki.py"), "renew-server", "--out"]
    subprocess.run([*pki, str(empty.certs)], check=True, stdout=subprocess.DEVNULL)

    eventually(
        lambda: all(shown_at(a, empty.ca) != old for a, old in before.items()),
        timeout=60,
        step=0.3,
    )
    assert empty.await_end(run_id)["status"] == "finished:completed"
    again = empty.await_end(empty.submit(TINY, *config(num_rounds=1)))
    assert again["status"] == "finished:completed"
    assert starts(empty) == started
