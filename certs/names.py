"""Names people type: hosts of certificates, sites, lists of either."""

import ipaddress
import re
from collections.abc import Iterable
from typing import Final

from certs.errors import PkiError

SERVER_NAMES: Final = (
    "localhost",
    "127.0.0.1",
    "::1",
    "superlink",
    "control",
    "fleet",
    "simulation",
)

_LABEL: Final = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.ASCII)
_SITE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,62}", re.ASCII)
_MAX_DNS_CHARS: Final = 253


def server_names(given: Iterable[str]) -> list[str]:
    """Return the built-in names of a SuperLink and the given ones, each once.

    Args:
        given: what followed ``--san``; an item may hold several names, by comma or space.

    Raises:
        PkiError: one is no name that a certificate can carry.
    """
    items = [name for item in given for name in re.split(r"[,\s]+", item) if name]
    return list(dict.fromkeys([*SERVER_NAMES, *map(host_name, items)]))


def host_name(text: str) -> str:
    """Return a DNS name or IP address in the one form certificates carry.

    Raises:
        PkiError: it is neither.
    """
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return _dns_name(text)
    if address.is_unspecified or getattr(address, "scope_id", None):
        raise PkiError(
            f"{text} is an address nobody dials",
            "give the address or host name that sites and researchers use",
        )
    return str(address)


def site_names(text: str) -> list[str]:
    """Split ``a,b,c`` into names of sites.

    Raises:
        PkiError: one is malformed or given twice.
    """
    names = [site_name(name) for name in re.split(r"[,\s]+", text) if name]
    if len(set(names)) != len(names):
        raise PkiError(f"{text}: a name is given twice", "give every site its own name")
    return names


def site_name(text: str) -> str:
    """Return the name of a site, which becomes the comment of its key.

    Raises:
        PkiError: it holds something that may not stand in a key list.
    """
    if not _SITE.fullmatch(text):
        raise PkiError(
            f"{text!r} is no name for a site",
            "use 1 to 63 letters, digits and . _ @ -, as in hospital-a",
        )
    return text


def _dns_name(text: str) -> str:
    if not text.isascii():
        raise PkiError(
            f"{text!r} has letters that certificates cannot carry", f"write it as {_ascii(text)}"
        )
    name = text.lower().removesuffix(".")
    labels = name.removeprefix("*.").split(".")
    if (
        len(name) > _MAX_DNS_CHARS
        or not all(map(_LABEL.fullmatch, labels))
        or labels[-1].isdigit()  # 10.0.0.300: meant as an address
    ):
        raise PkiError(
            f"{text!r} is neither a host name nor an IP address",
            "give it bare, without scheme, port or brackets: hub.example, 192.0.2.7, 2001:db8::7",
        )
    return name


def _ascii(text: str) -> str:
    try:
        return text.encode("idna").decode("ascii")
    except UnicodeError:
        return "the name's ASCII form (xn--...)"
