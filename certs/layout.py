"""Which file lies where: one folder per container, so that each can mount its own and no other.

``ca/`` is mounted nowhere.  A site's own machine has the same tree without ``superlink/``,
``serverapp/`` and the private half of the CA.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

CA_CERTIFICATE: Final = "ca.crt"
SECRET: Final = "superexec-secret"  # noqa: S105 - a file's name
NODE_LIST: Final = "node-keys.pub"
NODE_KEY: Final = "node.key"
NODE_PUBLIC: Final = "node.pub"
PUBLIC_SUFFIXES: Final = frozenset({".crt", ".pub", ".gitignore"})
MAX_NODES: Final = 1000  # more than that is a typing mistake

_SITE_FOLDER: Final = re.compile(r"supernode-([1-9][0-9]{0,3})")


@dataclass(frozen=True, slots=True)
class PairFiles:
    """A certificate and its private key on disk."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class AppIoLink:
    """The link between a daemon and the executor of its apps."""

    name: str  # the daemon's host name: superlink, supernode-2
    alias: str  # what the executor calls it on their network
    authority: PairFiles  # signs for this link alone
    daemon: Path
    executor: Path

    @property
    def identity(self) -> PairFiles:
        """What the daemon shows."""
        return PairFiles(self.daemon / "appio.crt", self.daemon / "appio.key")

    @property
    def names(self) -> list[str]:
        """Host names and addresses the identity is valid for."""
        return [self.alias, self.name, "localhost", "127.0.0.1", "::1"]


@dataclass(frozen=True, slots=True)
class Layout:
    """The folders of one deployment."""

    root: Path

    @property
    def ca(self) -> PairFiles:
        """The federation's authority."""
        return PairFiles(self.root / "ca" / CA_CERTIFICATE, self.root / "ca" / "ca.key")

    @property
    def superlink(self) -> Path:
        """What the SuperLink's container sees."""
        return self.root / "superlink"

    @property
    def server(self) -> PairFiles:
        """What the SuperLink shows to nodes and researchers."""
        return PairFiles(self.superlink / "server.crt", self.superlink / "server.key")

    @property
    def node_list(self) -> Path:
        """The keys of the nodes that the SuperLink admits."""
        return self.superlink / NODE_LIST

    @property
    def user(self) -> Path:
        """What a researcher needs."""
        return self.root / "user"

    def supernode(self, number: int) -> Path:
        """What the container of that SuperNode sees."""
        return self.root / f"supernode-{number}"

    @property
    def server_link(self) -> AppIoLink:
        """ServerAppIo: the SuperLink and its executor."""
        return self._link("superlink", "serverappio", "serverapp")

    def node_link(self, number: int) -> AppIoLink:
        """ClientAppIo: a SuperNode and its executor."""
        return self._link(f"supernode-{number}", "clientappio", f"clientapp-{number}")

    def node_numbers(self) -> list[int]:
        """Numbers of the SuperNodes that have a folder here, ascending."""
        found = (_SITE_FOLDER.fullmatch(p.name) for p in self.root.glob("supernode-*"))
        return sorted(int(match[1]) for match in found if match)

    def links(self) -> list[AppIoLink]:
        """Every AppIo link of which something is here."""
        nodes = [self.node_link(number) for number in self.node_numbers()]
        return [self.server_link, *nodes] if self.superlink.exists() else nodes

    def folders(self) -> list[Path]:
        """The folders of this tree that are here."""
        ends = [folder for link in self.links() for folder in (link.daemon, link.executor)]
        return [f for f in (self.root / "ca", *ends, self.user) if f.is_dir()]

    def files(self) -> Iterator[Path]:
        """Every file in the folders of this tree, whoever put it there."""
        for folder in self.folders():
            yield from sorted(p for p in folder.iterdir() if p.is_file())

    def _link(self, daemon: str, alias: str, executor: str) -> AppIoLink:
        authority = self.root / "ca" / f"appio-{daemon}"
        return AppIoLink(
            name=daemon,
            alias=alias,
            authority=PairFiles(authority.with_suffix(".crt"), authority.with_suffix(".key")),
            daemon=self.root / daemon,
            executor=self.root / executor,
        )
