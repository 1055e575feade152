"""How a SuperExec proves that it may launch apps: an HMAC over method, time, nonce and body (§5.4).

Both sides hold one secret file.  Each proof is accepted once per method.
"""

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from flwr.auth.headers import Headers, find_text
from flwr.auth.nonces import MAX_NONCES, NonceBook
from flwr.core.errors import InvalidError, UnauthenticatedError
from flwr.core.limits import SIGNATURE_FUTURE, SIGNATURE_PAST

TIMESTAMP_HEADER: Final = "flwr-superexec-ts"
NONCE_HEADER: Final = "flwr-superexec-nonce"
BODY_HEADER: Final = "flwr-superexec-body-sha256"
SIGNATURE_HEADER: Final = "flwr-superexec-signature"

_DERIVATION: Final = b"superexec-auth-v1"
_NONCE_BYTES: Final = 16
_NONCE: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)
_SECONDS: Final = re.compile(r"[0-9]{1,12}", re.ASCII)


class SecretFileError(InvalidError):
    """The secret file cannot be read or is empty."""

    def __init__(self, path: Path, why: str) -> None:
        """Name the file and how to make one."""
        super().__init__(
            f"SuperExec secret file {path}: {why}",
            hint="make one with: openssl rand -hex 32 > FILE; give it to both sides",
        )


class SuperExecRefusedError(UnauthenticatedError):
    """The call carries no valid proof of a SuperExec."""

    def __init__(self, hint: str = "") -> None:
        """Say it in the words the wire contract fixes (§5.4)."""
        super().__init__("Authentication failed.", hint=hint)


@dataclass(frozen=True, slots=True)
class SuperExecSecret:
    """The key derived from the shared secret."""

    key: bytes = field(repr=False)

    @classmethod
    def derive(cls, master: bytes) -> "SuperExecSecret":
        """Derive the signing key from the bytes of the secret file."""
        return cls(hmac.digest(master, _DERIVATION, "sha256"))


def load_secret(path: Path) -> SuperExecSecret:
    """Read the secret file as raw bytes; every byte counts, a final newline too.

    Raises:
        SecretFileError: it cannot be read or is empty.
    """
    try:
        master = path.read_bytes()
    except OSError as cause:
        raise SecretFileError(path, cause.strerror or str(cause)) from cause
    if not master:
        raise SecretFileError(path, "is empty")
    return SuperExecSecret.derive(master)


def sign_call(
    secret: SuperExecSecret,
    method: str,
    body: bytes,
    *,
    at: datetime,
    nonce: str | None = None,
) -> tuple[tuple[str, str], ...]:
    """Return the headers that prove a SuperExec.

    Args:
        secret: the derived key.
        method: full path of the RPC, ``/package.Service/Method``.
        body: the request, serialized deterministically.
        at: the present instant.
        nonce: 32 hex digits; random unless a test needs a fixed one.
    """
    timestamp = str(int(at.timestamp()))
    fresh = nonce or secrets.token_hex(_NONCE_BYTES)
    digest = hashlib.sha256(body).hexdigest()
    return (
        (TIMESTAMP_HEADER, timestamp),
        (NONCE_HEADER, fresh),
        (BODY_HEADER, digest),
        (SIGNATURE_HEADER, _signature(secret, method, timestamp, fresh, digest)),
    )


class SuperExecVerifier:
    """Checks proofs and remembers nonces, so that none is accepted twice; thread-safe."""

    def __init__(self, secret: SuperExecSecret, *, max_nonces: int = MAX_NONCES) -> None:
        self._secret = secret
        self._nonces = NonceBook(max_nonces)

    def verify(self, headers: Headers, method: str, body: bytes, *, now: datetime) -> None:
        """Check the proof of one call.

        Raises:
            SuperExecRefusedError: missing, malformed, wrong, outside the window, or used before.
            UnavailableError: too many proofs are remembered; only a holder of the secret can
                bring this about.
        """
        pairs = tuple(headers)
        timestamp = find_text(pairs, TIMESTAMP_HEADER) or ""
        nonce = find_text(pairs, NONCE_HEADER) or ""
        digest = find_text(pairs, BODY_HEADER) or ""
        signature = find_text(pairs, SIGNATURE_HEADER) or ""
        if not _SECONDS.fullmatch(timestamp) or not _NONCE.fullmatch(nonce):
            raise SuperExecRefusedError("give both sides the same --superexec-auth-secret-file")
        expected = _signature(self._secret, method, timestamp, nonce, digest)
        if not hmac.compare_digest(expected.encode(), signature.encode("utf-8", "replace")):
            raise SuperExecRefusedError("give both sides the same --superexec-auth-secret-file")
        if not hmac.compare_digest(hashlib.sha256(body).hexdigest().encode(), digest.encode()):
            raise SuperExecRefusedError("the request was changed after it was signed")
        signed_at = datetime.fromtimestamp(int(timestamp), UTC)
        age = now - signed_at
        if not -SIGNATURE_FUTURE < age < SIGNATURE_PAST:
            raise SuperExecRefusedError(f"clock differs by {age.total_seconds():.0f} s")
        if not self._nonces.use((method, nonce), until=signed_at + SIGNATURE_PAST, now=now):
            raise SuperExecRefusedError("this proof was used before")


def _signature(
    secret: SuperExecSecret, method: str, timestamp: str, nonce: str, digest: str
) -> str:
    text = f"method={method}\nts={timestamp}\nnonce={nonce}\nbody_sha256={digest}"
    return hmac.digest(secret.key, text.encode("utf-8"), "sha256").hex()
