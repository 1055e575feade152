"""A federation whose programs are containers: the project's compose files, with its own keys."""

import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from python_on_whales import DockerClient

from tests.compose.project import Project
from tests.harness.apps import TINY
from tests.harness.federation import Federation


class Deployment(Federation):
    """SuperLink, nodes and executors in containers; the researcher on this host or in one more.

    What it inherits speaks to the published ports with the user's certificate: ``flwr``,
    ``submit``, ``await_end``, ``log_of``, ``await_nodes``.  ``start_node`` and ``start`` add
    programs on this host, of any release.  What befalls containers is in ``project``.
    """

    def __init__(
        self,
        root: Path,
        *,
        nodes: int = 2,
        tls: bool = True,
        files: Sequence[str] = ("compose.yaml",),
        overlays: Sequence[str] = (),
        variables: Mapping[str, str] | None = None,
        keys: int | None = None,
        profiles: Sequence[str] | None = None,
    ) -> None:
        """Make keys and choose ports; nothing runs yet.

        Args:
            root: folder for keys, settings and the homes of command lines.
            nodes: how many nodes the project itself runs.
            tls: False adds the overlays without TLS.
            files: of compose/, what makes up the project.
            overlays: of compose/overlays/, without their suffix: ``postgres.server``.
            variables: what else an operator would set.
            keys: how many nodes get keys, when sites of their own dial in.
            profiles: of Compose; None: that of the nodes.
        """
        bridge = bridge_address()
        super().__init__(root, tls=tls, nodes=max(nodes, keys or 0), hosts=(bridge,))
        without = _sides(files, "without-tls") if not tls else []
        names = [f"overlays/{name}.yaml" for name in (*without, *overlays)]
        self.bridge = bridge
        self.seconds_to_online: float | None = None  # from `up` until every node is seen
        self.project = Project(
            root,
            files=[*files, *names],
            nodes=nodes,
            profiles=profiles,
            variables={
                "FLWR_CERTS": str(self.certs),
                "FLWR_APP": str(TINY),
                "FLWR_FLEET_PORT": self.fleet.split(":")[1],
                "FLWR_CONTROL_PORT": self.control.split(":")[1],
                **(variables or {}),
            },
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            super().__exit__(kind, error, trace)
        finally:
            self.project.__exit__(kind)

    def up(self, timeout: int = 120) -> None:
        """``docker compose up --wait``, then wait until the SuperLink sees every node."""
        begun = time.monotonic()
        self.project.up(timeout=timeout)
        self.await_nodes(self.project.nodes)
        self.seconds_to_online = time.monotonic() - begun

    def cli(self, *args: str) -> str:
        """Run ``flwr`` in the project's own container; the tiny app is mounted at /app."""
        return self.project.run("cli", *args)

    def site(self, number: int, *, variables: Mapping[str, str] | None = None) -> Project:
        """Return one more site, with networks of its own, that dials the published Fleet port.

        Args:
            number: whose keys it has: those of supernode-NUMBER.
            variables: what else its administrator would set.
        """
        own = {
            "FLWR_CERTS": str(self.certs),
            "FLWR_NODE_1_NUMBER": str(number),
            "FLWR_NODE_1_NAME": f"site-{number}",
            "FLWR_SUPERLINK": f"{self.bridge}:{self.fleet.split(':')[1]}",
            **(variables or {}),
        }
        return Project(self.root, files=["site.yaml"], nodes=1, variables=own)


def bridge_address() -> str:
    """Return this host's address on the engine's default bridge: how containers call the host."""
    config = DockerClient().network.inspect("bridge").ipam.config
    assert config, "the engine has no default bridge"
    return str(config[0]["Gateway"])


def forget_environment() -> None:
    """Drop variables of the developer's shell: they would count more than a test's settings."""
    for name in [n for n in os.environ if n.startswith(("FLWR_", "COMPOSE_"))]:
        del os.environ[name]


def _sides(files: Sequence[str], overlay: str) -> list[str]:
    both = {"compose.yaml": ("server", "site"), "server.yaml": ("server",), "site.yaml": ("site",)}
    return [f"{overlay}.{side}" for file in files for side in both.get(file, ())]
