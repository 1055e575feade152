"""Loopback ports for programs that tests start.

Below the range the kernel gives to outgoing connections: between the moment a port is found free
and the moment a program listens there, no connection of anybody can have taken it.
"""

import os
import random
import socket
from typing import Final

_BELOW_EPHEMERAL: Final = range(12_000, 32_000)
# Of its own for each test process: seeds that a test sets must not make two of them choose alike.
_CHOICE: Final = random.SystemRandom()
_GIVEN: Final[set[int]] = set()


def free_port() -> int:
    """Return a loopback port that nobody listens on and that this process was never given."""
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    mine = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    while True:
        port = _CHOICE.choice(_BELOW_EPHEMERAL[mine::workers])
        if port in _GIVEN:
            continue
        _GIVEN.add(port)
        if _is_free(port):
            return port


def free_address() -> str:
    """Return a loopback address that nobody listens on."""
    return f"127.0.0.1:{free_port()}"


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("0.0.0.0", port))  # noqa: S104  to find who listens anywhere; never listens
        except OSError:
            return False
    return True
