"""Who a SuperNode is: its P-256 key, the line that travels, and the SuperLink's list of those."""

import base64
import binascii
import hashlib
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization as ser
from cryptography.hazmat.primitives.asymmetric import ec

from certs.errors import PkiError

CURVES: Final = frozenset({"secp256r1", "secp384r1"})
LIST_HEADER: Final = "# One OpenSSH public key a line: the SuperNodes this SuperLink admits."
_MAX_LINE_CHARS: Final = 1000  # a P-384 line has 220 and a comment
_HOW: Final = "give the one line of the site's node.pub: ecdsa-sha2-nistp256 AAAA... name"


@dataclass(frozen=True, slots=True)
class PublicLine:
    """One public key as it travels and stands in the list."""

    kind: str
    blob: str
    comment: str

    def __str__(self) -> str:
        """Return the line, without its end."""
        return f"{self.kind} {self.blob} {self.comment}".rstrip()

    @property
    def fingerprint(self) -> str:
        """``SHA256:...`` as ``ssh-keygen -l`` prints it."""
        digest = hashlib.sha256(base64.b64decode(self.blob)).digest()
        return "SHA256:" + base64.b64encode(digest).decode("ascii").rstrip("=")

    def named(self, comment: str) -> "PublicLine":
        """Return the same key with another comment."""
        return PublicLine(self.kind, self.blob, comment)


def new_node_key() -> bytes:
    """Return a fresh private key, in OpenSSH form."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(ser.Encoding.PEM, ser.PrivateFormat.OpenSSH, ser.NoEncryption())


def public_line_of(path: Path, comment: str) -> PublicLine:
    """Return the public half of a node's private key file.

    Raises:
        PkiError: it is no private key a node can use.
    """
    data = path.read_bytes()
    is_openssh = b"OPENSSH PRIVATE KEY" in data
    load = ser.load_ssh_private_key if is_openssh else ser.load_pem_private_key
    try:
        key = load(data, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as cause:
        raise PkiError(
            f"{path} is no private key without passphrase",
            "move it away and run this again for a new key (the SuperLink then needs its new "
            "node.pub), or put the site's key back",
        ) from cause
    return _line(key.public_key(), comment, str(path))


def parse_public_line(text: str, origin: str) -> PublicLine:
    """Read the one public key in ``text``; blank and comment lines do not count.

    Raises:
        PkiError: there is none, more than one, or it is none a node may use.
    """
    if "PRIVATE KEY" in text:
        raise PkiError(
            f"{origin} is a PRIVATE key, which must never travel",
            "it is no longer a secret: make a new one at the site (pki.py site --force), "
            "and send its node.pub",
        )
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if len(lines) != 1:
        found = "holds no public key" if not lines else f"holds {len(lines)} lines"
        raise PkiError(f"{origin} {found}, one is wanted", _HOW)
    return _parse(lines[0], origin)


def parse_list(text: str, origin: str) -> list[PublicLine]:
    """Read a list of public keys, in file order.

    Raises:
        PkiError: naming the line that holds none.
    """
    return [
        _parse(line, f"{origin}, line {number}")
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip() and not line.lstrip().startswith("#")
    ]


def merge_lines(text: str, wanted: Sequence[PublicLine], gone: AbstractSet[str]) -> str:
    """Return the list with every wanted key once, in its place if it had one.

    Args:
        text: the list so far; other lines and comments stay as they are.
        wanted: keys that shall be on it.
        gone: base64 of the keys that shall not.
    """
    missing = {line.blob: line for line in wanted}
    merged = []
    for line in text.splitlines() or [LIST_HEADER]:
        blob = "" if line.lstrip().startswith("#") else "".join(line.split()[1:2])
        if blob and blob in gone:
            continue
        merged.append(str(missing.pop(blob)) if blob in missing else line)
    return "\n".join([*merged, *map(str, missing.values())]) + "\n"


def _parse(line: str, origin: str) -> PublicLine:
    fields = line.split(maxsplit=2)
    comment = fields[2].strip() if len(fields) > 2 else ""  # noqa: PLR2004 - kind, blob, comment
    if len(line) > _MAX_LINE_CHARS or not comment.isprintable():
        raise PkiError(f"{origin} is no line of a key list", _HOW)
    try:
        key = ser.load_ssh_public_key(" ".join(fields[:2]).encode())
    except (ValueError, binascii.Error, UnsupportedAlgorithm) as cause:
        raise PkiError(f"{origin} is no OpenSSH public key", _HOW) from cause
    return _line(key, comment, origin)


def _line(key: object, comment: str, origin: str) -> PublicLine:
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in CURVES:
        kind = key.curve.name if isinstance(key, ec.EllipticCurvePublicKey) else type(key).__name__
        raise PkiError(
            f"{origin}: a node's key is on P-256 (or P-384), this is {kind}",
            "make one with: pki.py site, or ssh-keygen -t ecdsa -b 256 -N '' -f node.key",
        )
    text = key.public_bytes(ser.Encoding.OpenSSH, ser.PublicFormat.OpenSSH).decode("ascii")
    kind, blob = text.split()
    return PublicLine(kind, blob, comment)
