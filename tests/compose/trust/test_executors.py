"""Executors and their daemons prove themselves to each other, although nobody else is near."""

import hashlib
import os
import shutil
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest
from images.inputs import local_image
from python_on_whales import Container

from tests.compose.deployment import Deployment
from tests.compose.reach import NO_CERTIFICATE
from tests.harness.program import eventually
from tests.harness.toolset import ROOT

READER: Final = 10001
# What a program says that is greeted in HTTP/2, in clear text.
GREETING: Final = """
import socket, sys
with socket.create_connection((sys.argv[1], int(sys.argv[2])), 5) as plain:
    plain.sendall(b"PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\n" + bytes(3) + bytes([4]) + bytes(5))
    try:
        print(plain.recv(100).hex())
    except OSError as error:
        print("refused")
"""
SETTINGS_FRAME: Final = 4


@dataclass(frozen=True)
class Wrong:
    """An executor with something that is not its own."""

    role: str
    network: str
    trusts: str  # whose AppIo authority it was given
    secret: str  # whose secret
    code: int
    cause: str
    remedy: str


EXECUTORS: Final = {
    "secret of another site": Wrong(
        "clientapp", "clientapp-io-1", "clientapp-1", "clientapp-2",
        5, "Authentication failed", "--superexec-auth-secret-file",
    ),
    "secret of a site at the server": Wrong(
        "serverapp", "serverapp-io", "serverapp", "clientapp-1",
        5, "Authentication failed", "--superexec-auth-secret-file",
    ),
    "everything of another site": Wrong(
        "clientapp", "clientapp-io-1", "clientapp-2", "clientapp-2",
        3, "was not issued by the given authority", "--root-certificates",
    ),
}  # fmt: skip


@pytest.fixture
def started(
    request: pytest.FixtureRequest, deployment: Deployment, tmp_path: Path
) -> Iterator[tuple[Wrong, Container]]:
    """The wrong executor beside the right one, in its network."""
    wrong = EXECUTORS[request.param]
    given = tmp_path / "given"
    given.mkdir()  # the folder around it is for this user alone
    shutil.copy(deployment.certs / wrong.trusts / "appio-ca.crt", given)
    shutil.copy(deployment.certs / wrong.secret / "superexec-secret", given)
    if os.geteuid() == 0:
        os.chown(given / "superexec-secret", 0, READER)
    prefix, docker = f"FLWR_{wrong.role.upper()}", deployment.project.docker
    container = docker.run(
        local_image(ROOT, wrong.role),
        detach=True,
        init=True,
        networks=[f"{deployment.project.project}_{wrong.network}"],
        volumes=[(given, "/run/secrets", "ro")],
        envs={
            f"{prefix}_ROOT_CERTIFICATES": "/run/secrets/appio-ca.crt",
            f"{prefix}_SUPEREXEC_AUTH_SECRET_FILE": "/run/secrets/superexec-secret",
        },
    )
    assert isinstance(container, Container)
    yield wrong, container
    docker.remove(container, force=True)


@pytest.mark.row("S28")
@pytest.mark.parametrize("started", EXECUTORS, indirect=True)
def test_an_executor_with_what_is_not_its_own_is_refused(
    started: tuple[Wrong, Container], deployment: Deployment
) -> None:
    wrong, container = started
    eventually(lambda: container.state.status == "exited", timeout=90, step=0.2)

    log = deployment.project.docker.container.logs(container)
    assert isinstance(log, str)
    assert container.state.exit_code == wrong.code, log
    assert wrong.cause in log
    assert wrong.remedy in log
    assert container.state.health
    assert container.state.health.status != "healthy"


@pytest.mark.row("S28")
@pytest.mark.parametrize(
    ("caller", "host", "port", "daemon"),
    [
        ("serverapp", "serverappio", 9091, "superlink"),
        ("clientapp-1", "clientappio", 9094, "supernode-1"),
        ("clientapp-2", "clientappio", 9094, "supernode-2"),
    ],
)
def test_appio_is_encrypted_by_each_daemons_own_certificate(
    deployment: Deployment, caller: str, host: str, port: int, daemon: str
) -> None:
    (shown,) = deployment.project.identify_all(caller, [(host, port)])
    own = (deployment.certs / daemon / "appio.crt").read_text()
    assert shown != NO_CERTIFICATE
    assert shown == hashlib.sha256(ssl.PEM_cert_to_DER_cert(own)).hexdigest()

    answer = deployment.project.python(caller, GREETING, host, str(port)).strip()
    assert answer == "refused" or bytes.fromhex(answer)[3:4] != bytes([SETTINGS_FRAME])
