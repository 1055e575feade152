"""Proof that somebody trusted reviewed an app: signatures over its bundle (wire contract §13).

A site lists whom it trusts; without such a list nothing here is asked.
"""

import base64
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from flwr.core.errors import DeniedError, InvalidError
from flwr.core.ids import FabHash
from flwr.crypto import ed25519

LICENSE_KEY: Final = "valid_license"
_SIGNED_AT: Final = struct.Struct(">Q")  # Unix seconds

TrustedEntities = Mapping[str, ed25519.PublicKey]


class TrustedEntitiesError(InvalidError):
    """The list of trusted entities cannot be used."""

    def __init__(self, path: Path, why: str) -> None:
        """Name the file, the reason and the wanted form."""
        super().__init__(
            f"trusted entities {path}: {why}",
            hint="write YAML lines 'fpk_ID: ssh-ed25519 AAAA...', one per entity",
        )


class UntrustedFabError(DeniedError):
    """Nobody on the list vouches for the bundle."""

    def __init__(self, fab_hash: FabHash, why: str) -> None:
        """Name the bundle and what is missing."""
        super().__init__(
            f"FAB {fab_hash} is not trusted here: {why}",
            hint="run an app that a trusted entity signed, or extend --trusted-entities",
        )
        self.fab_hash = fab_hash


def load_trusted_entities(path: Path) -> dict[str, ed25519.PublicKey]:
    """Read the YAML list: public-key id to OpenSSH Ed25519 key.

    Raises:
        TrustedEntitiesError: it cannot be read, is empty, or holds another kind of key.
    """
    import yaml  # noqa: PLC0415  1 MB, for nodes that keep such a list

    try:
        table = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as cause:
        raise TrustedEntitiesError(path, f"cannot be read: {cause}") from cause
    if not isinstance(table, dict) or not table:
        raise TrustedEntitiesError(path, "is not a table of ids and keys")
    trusted: dict[str, ed25519.PublicKey] = {}
    for name, line in table.items():
        try:
            trusted[str(name)] = ed25519.parse_public_key(str(line))
        except ed25519.KeyFormatError as cause:
            raise TrustedEntitiesError(path, f"{name}: {cause}") from cause
    return trusted


def signed_message(fab_hash: FabHash, signed_at: int) -> bytes:
    """Return what is signed: eight bytes of Unix seconds, then the bundle's 32-byte hash."""
    return _SIGNED_AT.pack(signed_at) + bytes.fromhex(fab_hash)


def sign_fab(key: ed25519.PrivateKey, fab_hash: FabHash, *, signed_at: int) -> str:
    """Return the JSON entry that vouches for a bundle, to be filed under the key's id."""
    signature = ed25519.sign(key, signed_message(fab_hash, signed_at))
    text = base64.urlsafe_b64encode(signature).rstrip(b"=").decode("ascii")
    return json.dumps({"signature": text, "signed_at": signed_at})


def verify_fab(
    fab_hash: FabHash,
    verifications: Mapping[str, str],
    trusted: TrustedEntities,
) -> str:
    """Return the id of a trusted entity that signed the bundle.

    Raises:
        UntrustedFabError: the licence was not checked, or no listed id has a good signature.
    """
    if not verifications.get(LICENSE_KEY):
        raise UntrustedFabError(fab_hash, "its licence was not found valid")
    for name, key in trusted.items():
        entry = verifications.get(name)
        if entry is not None and _is_good(entry, key, fab_hash):
            return name
    raise UntrustedFabError(fab_hash, "no trusted entity signed it")


def _is_good(entry: str, key: ed25519.PublicKey, fab_hash: FabHash) -> bool:
    try:
        fields = json.loads(entry)
        text, signed_at = str(fields["signature"]), int(fields["signed_at"])
        signature = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
        message = signed_message(fab_hash, signed_at)
    except (ValueError, TypeError, KeyError, RecursionError, struct.error):
        return False
    return ed25519.is_signed(key, message, signature)
