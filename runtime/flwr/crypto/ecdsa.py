"""Elliptic-curve keys and signatures: read, write, fingerprint, sign, verify.

Private keys are read in OpenSSH or PEM form, public keys likewise; both must lie on a NIST curve.
Nothing here knows who a key belongs to or what is signed.
"""

import base64
import hashlib
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

PrivateKey = ec.EllipticCurvePrivateKey
PublicKey = ec.EllipticCurvePublicKey

NIST_CURVES: Final = frozenset({"secp192r1", "secp224r1", "secp256r1", "secp384r1", "secp521r1"})
MAX_KEY_BYTES: Final = 4096  # a P-521 key pair needs 800; longer input is not parsed at all
MAX_SIGNATURE_BYTES: Final = 160  # DER over P-521 needs 141
_SHA_256: Final = ec.ECDSA(hashes.SHA256())


class KeyFormatError(ValueError):
    """The bytes hold no elliptic-curve key on a NIST curve."""


def new_private_key() -> PrivateKey:
    """Return a fresh key on P-384, the curve on which upstream's programs agree on secrets."""
    return ec.generate_private_key(ec.SECP384R1())


def new_signing_key() -> PrivateKey:
    """Return a fresh key on P-256: a ninth of P-384's cost, and as strong as SHA-256 is."""
    return ec.generate_private_key(ec.SECP256R1())


def parse_private_key(data: bytes) -> PrivateKey:
    """Read a private key in OpenSSH or PEM form, without a passphrase.

    Raises:
        KeyFormatError: it is no such key.
    """
    _check_size(data)
    is_openssh = b"OPENSSH PRIVATE KEY" in data
    load = serialization.load_ssh_private_key if is_openssh else serialization.load_pem_private_key
    try:
        key = load(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as cause:
        raise KeyFormatError(
            f"not a private key without passphrase: {_first_line(cause)}"
        ) from cause
    if not isinstance(key, PrivateKey):
        raise KeyFormatError(f"a {type(key).__name__} is not an elliptic-curve private key")
    _check_curve(key.curve)
    return key


def parse_public_key(data: bytes) -> PublicKey:
    """Read a public key in OpenSSH or PEM form.

    Raises:
        KeyFormatError: it is no such key.
    """
    _check_size(data)
    is_pem = data.lstrip().startswith(b"-----BEGIN")
    load = serialization.load_pem_public_key if is_pem else serialization.load_ssh_public_key
    try:
        key = load(data.strip())
    except (ValueError, TypeError, UnsupportedAlgorithm) as cause:
        raise KeyFormatError(f"not a public key: {_first_line(cause)}") from cause
    if not isinstance(key, PublicKey):
        raise KeyFormatError(f"a {type(key).__name__} is not an elliptic-curve public key")
    _check_curve(key.curve)
    return key


def public_pem(key: PublicKey) -> bytes:
    """Return the key as PEM SubjectPublicKeyInfo, the one form that goes over the wire."""
    return key.public_bytes(
        serialization.Encoding.PEM,
        serialization.PublicFormat.SubjectPublicKeyInfo,
    )


def private_pem(key: PrivateKey) -> bytes:
    """Return the key as PEM PKCS #8, not encrypted."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def fingerprint(key: PublicKey) -> str:
    """Return ``SHA256:...`` as ``ssh-keygen -l`` prints it.

    Curves that OpenSSH does not know (P-192, P-224) are hashed in their DER form.
    """
    try:
        line = key.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
        blob = base64.b64decode(line.split()[1])
    except ValueError:
        blob = key.public_bytes(
            serialization.Encoding.DER,
            serialization.PublicFormat.SubjectPublicKeyInfo,
        )
    digest = base64.b64encode(hashlib.sha256(blob).digest()).decode("ascii")
    return f"SHA256:{digest.rstrip('=')}"


def sign(key: PrivateKey, message: bytes) -> bytes:
    """Return the DER signature over the SHA-256 of ``message``."""
    return key.sign(message, _SHA_256)


def is_signed(key: PublicKey, message: bytes, signature: bytes) -> bool:
    """Tell whether ``signature`` over ``message`` was made with the private half of ``key``."""
    if len(signature) > MAX_SIGNATURE_BYTES:
        return False
    try:
        key.verify(signature, message, _SHA_256)
    except InvalidSignature:
        return False
    return True


def _check_size(data: bytes) -> None:
    if len(data) > MAX_KEY_BYTES:
        raise KeyFormatError(f"{len(data)} bytes are no key, {MAX_KEY_BYTES} is the most")


def _check_curve(curve: ec.EllipticCurve) -> None:
    if curve.name not in NIST_CURVES:
        raise KeyFormatError(f"curve {curve.name} is not one of {', '.join(sorted(NIST_CURVES))}")


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0].partition(". See")[0]
