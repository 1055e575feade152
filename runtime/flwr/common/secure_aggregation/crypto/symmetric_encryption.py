"""Older spelling of ``flwr.crypto.symmetric``."""

from cryptography.hazmat.primitives.asymmetric import ec

from flwr.crypto.symmetric import (
    agree,
    authenticate,
    decrypt,
    encrypt,
    is_authentic,
)

__all__ = ["compute_hmac", "decrypt", "encrypt", "generate_shared_key", "verify_hmac"]


def generate_shared_key(
    private_key: ec.EllipticCurvePrivateKey, public_key: ec.EllipticCurvePublicKey
) -> bytes:
    """Return the key that the holders of two key pairs can both compute.

    Raises:
        ValueError: the keys lie on different curves.
    """
    return agree(private_key, public_key)


def compute_hmac(key: bytes, message: bytes) -> bytes:
    """Return the HMAC-SHA256 of ``message``."""
    return authenticate(key, message)


def verify_hmac(key: bytes, message: bytes, hmac_value: bytes) -> bool:
    """Tell whether ``hmac_value`` is the HMAC-SHA256 of ``message``."""
    return is_authentic(key, message, hmac_value)
