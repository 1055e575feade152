"""Secrets that two key holders share: agree on a key, encrypt, decrypt, authenticate.

ECDH, then HKDF-SHA256 to 32 bytes, in the URL-safe base64 form that Fernet takes (AES-128-CBC with
HMAC-SHA256); the same as in upstream's releases, so that both can talk to each other.
"""

import base64
import hashlib
import hmac

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from flwr.crypto.ecdsa import PrivateKey, PublicKey


class DecryptionError(ValueError):
    """The ciphertext was not made with this key, or was altered."""


def agree(private_key: PrivateKey, public_key: PublicKey) -> bytes:
    """Return the 44-byte key that the holders of two key pairs can both compute, and nobody else.

    Raises:
        ValueError: the keys lie on different curves.
    """
    curve, other_curve = private_key.curve.name, public_key.curve.name
    if curve != other_curve:
        raise ValueError(f"a key on curve {curve} agrees on nothing with one on {other_curve}")
    secret = private_key.exchange(ec.ECDH(), public_key)
    key = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=None).derive(secret)
    return base64.urlsafe_b64encode(key)


def encrypt(key: bytes, plaintext: bytes) -> bytes:
    """Return ``plaintext`` as a Fernet token; ``key`` is one that ``agree`` returned."""
    return Fernet(key).encrypt(plaintext)


def decrypt(key: bytes, ciphertext: bytes) -> bytes:
    """Return what was encrypted.

    Raises:
        DecryptionError: it was not made with ``key``, or was altered.
    """
    try:
        return Fernet(key).decrypt(ciphertext)
    except InvalidToken as cause:
        raise DecryptionError("the ciphertext was not made with this key, or altered") from cause


def authenticate(key: bytes, message: bytes) -> bytes:
    """Return the HMAC-SHA256 of ``message``."""
    return hmac.digest(key, message, hashlib.sha256)


def is_authentic(key: bytes, message: bytes, code: bytes) -> bool:
    """Tell, in constant time, whether ``code`` is the HMAC-SHA256 of ``message``."""
    return hmac.compare_digest(authenticate(key, message), code)
