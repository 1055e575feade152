"""Executors beside a federation's own ones, each started by one ``docker run``."""

from collections.abc import Iterator
from contextlib import contextmanager

from python_on_whales import Container, DockerClient

from tests.compose.deployment import Deployment

DOCKER = DockerClient()
_SECRETS = "/run/secrets"


@contextmanager
def joined(
    federation: Deployment, role: str, image: str, app: str, *flags: str
) -> Iterator[Container]:
    """Start an executor of one app in the private network of its daemon; remove it afterwards.

    Args:
        federation: what it joins.
        role: ``serverapp``, or ``clientapp`` for the first node's.
        image: what it runs.
        app: publisher and name.
        flags: further ones.
    """
    network, folder = {
        "serverapp": ("serverapp-io", "serverapp"),
        "clientapp": ("clientapp-io-1", "clientapp-1"),
    }[role]
    container = DOCKER.run(
        image,
        [
            *("--only-apps", app),
            *("--root-certificates", f"{_SECRETS}/appio-ca.crt"),
            *("--superexec-auth-secret-file", f"{_SECRETS}/superexec-secret"),
            *flags,
        ],
        detach=True,
        init=True,
        read_only=True,
        tmpfs=["/tmp"],  # noqa: S108  the container's own
        networks=[f"{federation.project.project}_{network}"],
        volumes=[(federation.certs / folder, _SECRETS, "ro")],
    )
    try:
        yield container
    finally:
        container.remove(force=True)


def leave(container: Container) -> int:
    """``docker stop``, with more patience than the program has; return its exit code."""
    container.stop(time=40)
    return int(DOCKER.container.inspect(container.id).state.exit_code or 0)
