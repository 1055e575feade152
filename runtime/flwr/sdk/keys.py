"""Keys and certificates of a server and of a site, each made where it is used.

Private keys never leave the folder; what is given out is public.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from flwr.sdk.checkout import find_checkout

_TOOL: Final = "certs/pki.py"
_KEYS_S: Final = 120.0  # seconds, for sixteen keys on a slow machine


@dataclass(frozen=True, slots=True)
class ServerKeys:
    """What a server needs, in a folder."""

    folder: Path

    @property
    def root_certificates(self) -> Path:
        """The authority's certificate: for researchers and sites, no secret."""
        return self.folder / "user" / "ca.crt"


@dataclass(frozen=True, slots=True)
class SiteKeys:
    """What a site needs, in a folder, and the public half for the server."""

    folder: Path
    public_key: str  # one OpenSSH line, for SuperLink.register_node
    fingerprint: str  # to be compared by telephone


def make_server_keys(
    folder: Path | str,
    *,
    hosts: Sequence[str] = (),
    nodes: int = 0,
    checkout: Path | str | None = None,
) -> ServerKeys:
    """Make what a server lacks of an authority, a certificate and secrets; what is there stays.

    Args:
        folder: where they are kept; it must be readable by the containers' user, 10001.
        hosts: names and addresses by which sites and researchers dial it, besides localhost; none
            given: those it has.
        nodes: how many node keys to make as well, for nodes of this host; they are admitted.
        checkout: folder with the sources; None: see ``find_checkout``.

    Raises:
        ToolError: what is in the folder cannot be used, or a name is none; says what to do.
    """
    where = Path(folder).expanduser().absolute()
    names = [f"--san={','.join(hosts)}"] if hosts else []
    _make(checkout, "all", f"--out={where}", f"--nodes={nodes}", *names)
    return ServerKeys(where)


def make_site_keys(
    folder: Path | str,
    *,
    name: str,
    root_certificates: Path | str,
    checkout: Path | str | None = None,
) -> SiteKeys:
    """Make what a site lacks of a node key and secrets; what is there stays.

    Args:
        folder: where they are kept; it must be readable by the containers' user, 10001.
        name: the site's, as in hospital-a: comment of its public key.
        root_certificates: the ``ca.crt`` that the server's operator gave.
        checkout: folder with the sources; None: see ``find_checkout``.

    Raises:
        ToolError: what is in the folder cannot be used, or the certificate is none.
    """
    where = Path(folder).expanduser().absolute()
    ca = Path(root_certificates).expanduser().absolute()
    facts = _make(checkout, "site", f"--out={where}", f"--name={name}", f"--ca={ca}")
    return SiteKeys(where, str(facts["public-key"]), str(facts["fingerprint"]))


def _make(checkout: Path | str | None, *args: str) -> dict[str, Any]:
    printed = find_checkout(checkout).run(_TOOL, *args, "--format", "json", timeout=_KEYS_S)
    facts: dict[str, Any] = json.loads(printed)
    return facts
