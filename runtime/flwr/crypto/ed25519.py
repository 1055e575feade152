"""Ed25519 keys and signatures, as application reviewers use them."""

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

PrivateKey = Ed25519PrivateKey
PublicKey = Ed25519PublicKey


class KeyFormatError(ValueError):
    """The text holds no Ed25519 key."""


def private_key_from_seed(seed: bytes) -> PrivateKey:
    """Return the key of a 32-byte seed."""
    return Ed25519PrivateKey.from_private_bytes(seed)


def parse_public_key(line: str) -> PublicKey:
    """Read a public key in OpenSSH form.

    Raises:
        KeyFormatError: it is no such key.
    """
    try:
        key = serialization.load_ssh_public_key(line.strip().encode("utf-8"))
    except (ValueError, UnsupportedAlgorithm) as cause:
        raise KeyFormatError(f"not an OpenSSH public key: {cause}") from cause
    if not isinstance(key, Ed25519PublicKey):
        raise KeyFormatError(f"a {type(key).__name__} is not an Ed25519 public key")
    return key


def sign(key: PrivateKey, message: bytes) -> bytes:
    """Return the 64-byte signature over ``message``."""
    return key.sign(message)


def is_signed(key: PublicKey, message: bytes, signature: bytes) -> bool:
    """Tell whether ``signature`` over ``message`` was made with the private half of ``key``."""
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True
