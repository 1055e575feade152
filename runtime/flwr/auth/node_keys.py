"""How a SuperNode proves who it is: three headers on every Fleet call (wire contract §5.2).

The signature covers the timestamp only; that is the contract with every released node.  What our
own nodes add against replay is in ``auth.node_binding``; a call that carries it is proven by that
alone, so the headers of the contract are then read (``read_claim``) and not verified.
"""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Final

from flwr.auth.headers import Headers, find_binary, find_text
from flwr.core.errors import FailedPreconditionError, InvalidError, UnauthenticatedError
from flwr.core.limits import SIGNATURE_FUTURE, SIGNATURE_PAST
from flwr.crypto import ecdsa

PUBLIC_KEY_HEADER: Final = "flwr-public-key-bin"
TIMESTAMP_HEADER: Final = "flwr-timestamp"
SIGNATURE_HEADER: Final = "flwr-signature-bin"

_MAX_TIMESTAMP_CHARS: Final = 40
_PARSED_KEYS: Final = 16_384  # about 4 kB each; a node whose key is not among them costs 60 µs more
_SIGNATURES: Final = 16  # of the keys of one process; calls of one instant share one
_TIMESTAMP: Final = re.compile(r"[0-9T:.+\- Z]+", re.ASCII)


class KeyFileError(InvalidError):
    """A key file cannot be read or holds no usable key."""

    def __init__(self, path: Path, why: str, *, hint: str) -> None:
        """Name the file, what is wrong with it and what belongs there."""
        super().__init__(f"key file {path}: {why}", hint=hint)
        self.path = path


class PublicKeyError(FailedPreconditionError):
    """The bytes are no public key a node may use."""

    def __init__(self, why: str) -> None:
        """Use the text the CLI compares exactly (wire contract §14.2)."""
        super().__init__(
            "The provided public key is not valid",
            hint=f"{why}; give an OpenSSH or PEM public key on a NIST curve",
        )


class MissingNodeProofError(UnauthenticatedError):
    """A header of the proof is absent, empty or repeated."""

    def __init__(self) -> None:
        """Say it in the words the wire contract fixes (§5.2)."""
        super().__init__("Missing authentication metadata")


class NodeSignatureError(UnauthenticatedError):
    """The signature was not made with the private half of the key in the header."""

    def __init__(self, hint: str = "") -> None:
        """Say it in the words the wire contract fixes (§5.2)."""
        super().__init__("Invalid signature", hint=hint)


class NodeTimestampError(UnauthenticatedError):
    """The signature is too old, from the future, or its timestamp is malformed."""

    def __init__(self, difference: timedelta | None) -> None:
        """Say it in the words the wire contract fixes (§5.2); the hint tells the difference.

        Args:
            difference: our clock minus the node's; None when its timestamp cannot be read.
        """
        super().__init__("Invalid timestamp", hint=_describe_difference(difference))
        self.difference = difference


class NodeIdError(UnauthenticatedError):
    """The key belongs to no registered node, or to another node than the request names."""

    def __init__(self, hint: str = "") -> None:
        """Say it in the words the wire contract fixes (§5.2)."""
        super().__init__("Invalid node ID", hint=hint)


@dataclass(frozen=True, slots=True)
class NodeKey:
    """A node's key pair."""

    private: ecdsa.PrivateKey = field(repr=False)
    public_pem: bytes

    @property
    def fingerprint(self) -> str:
        """``SHA256:...`` of the public half, as ``ssh-keygen -l`` prints it."""
        return ecdsa.fingerprint(self.private.public_key())


@dataclass(frozen=True, slots=True)
class NodeClaim:
    """Who a caller says it is and when it says it signed; proves nothing."""

    public_key: bytes  # PEM, in the one stored form
    signed_at: datetime


class NodeProof(NodeClaim):
    """A claim with a verified signature."""

    __slots__ = ()


def new_node_key() -> NodeKey:
    """Return a fresh P-256 pair for a node that was given none."""
    return _node_key(ecdsa.new_signing_key())


def load_node_key(path: Path) -> NodeKey:
    """Read a node's private key: OpenSSH or PEM, elliptic curve, no passphrase.

    Raises:
        KeyFileError: naming the file and what is wrong.
    """
    hint = "give an elliptic-curve private key: ssh-keygen -t ecdsa -b 256 -N '' -f FILE"
    try:
        return _node_key(ecdsa.parse_private_key(path.read_bytes()))
    except OSError as cause:
        raise KeyFileError(path, cause.strerror or str(cause), hint=hint) from cause
    except ecdsa.KeyFormatError as cause:
        raise KeyFileError(path, str(cause), hint=hint) from cause


def parse_public_key(data: bytes) -> bytes:
    """Return an OpenSSH or PEM public key in the one PEM form that is stored and compared.

    Raises:
        PublicKeyError: it is no key on a NIST curve.
    """
    try:
        return _parsed(data)[1]
    except ecdsa.KeyFormatError as cause:
        raise PublicKeyError(str(cause)) from cause


def load_public_key(path: Path) -> bytes:
    """Read one public key file and return the key as PEM.

    Raises:
        KeyFileError: naming the file and what is wrong.
    """
    hint = "give the .pub file of the node's key, not the private key"
    try:
        return ecdsa.public_pem(ecdsa.parse_public_key(path.read_bytes()))
    except OSError as cause:
        raise KeyFileError(path, cause.strerror or str(cause), hint=hint) from cause
    except ecdsa.KeyFormatError as cause:
        raise KeyFileError(path, str(cause), hint=hint) from cause


def load_public_keys(path: Path) -> list[bytes]:
    """Read a list of nodes' keys: one OpenSSH key a line, ``#`` starts a comment line.

    Returns:
        PEM forms in file order, each key once.

    Raises:
        KeyFileError: naming the file, the line and what is wrong.
    """
    hint = "write one OpenSSH public key per line, as in a node's .pub file"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as cause:
        raise KeyFileError(path, f"cannot be read: {cause}", hint=hint) from cause
    keys: dict[bytes, None] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        try:
            keys[ecdsa.public_pem(ecdsa.parse_public_key(line.strip().encode("utf-8")))] = None
        except ecdsa.KeyFormatError as cause:
            raise KeyFileError(path, f"line {number}: {cause}", hint=hint) from cause
    return list(keys)


def fingerprint(public_key: bytes) -> str:
    """Return ``SHA256:...`` of a public key, ``unreadable`` when the bytes are no key."""
    try:
        return ecdsa.fingerprint(_parsed(public_key)[0])
    except ecdsa.KeyFormatError:
        return "unreadable"


def sign_call(key: NodeKey, *, at: datetime) -> tuple[tuple[str, str | bytes], ...]:
    """Return the headers that prove ``key`` at the instant ``at``."""
    timestamp = at.astimezone(UTC).isoformat()
    return (
        (PUBLIC_KEY_HEADER, key.public_pem),
        (TIMESTAMP_HEADER, timestamp),
        (SIGNATURE_HEADER, _signature(key, timestamp)),
    )


@lru_cache(maxsize=_SIGNATURES)
def _signature(key: NodeKey, timestamp: str) -> bytes:
    return ecdsa.sign(key.private, timestamp.encode("ascii"))


def claimed_key(headers: Headers) -> bytes | None:
    """Return the public key a caller claims, unverified: for logs only."""
    return find_binary(headers, PUBLIC_KEY_HEADER)


def read_claim(headers: Headers, *, now: datetime) -> NodeClaim:
    """Return who the headers claim to be by; whoever calls this verifies a signature of theirs.

    Raises:
        MissingNodeProofError: key or timestamp is absent, empty or repeated.
        NodeSignatureError: the key is malformed.
        NodeTimestampError: the claim is outside the accepted window.
    """
    claim, _ = _claimed(tuple(headers))
    _check_age(claim, now)
    return claim


def verify_call(headers: Headers, *, now: datetime) -> NodeProof:
    """Check the proof in ``headers`` and return what it proves.

    Raises:
        MissingNodeProofError: a header is absent, empty or repeated.
        NodeSignatureError: the key is malformed or the signature is not by it.
        NodeTimestampError: the proof is outside the accepted window.
    """
    pairs = tuple(headers)
    signature = find_binary(pairs, SIGNATURE_HEADER)
    if signature is None:
        raise MissingNodeProofError
    claim, timestamp = _claimed(pairs)
    if not is_signed_by(claim.public_key, timestamp.encode("ascii"), signature):
        raise NodeSignatureError
    _check_age(claim, now)
    return NodeProof(claim.public_key, claim.signed_at)


def is_signed_by(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Tell whether the signature over ``message`` is by this key, in PEM form."""
    return ecdsa.is_signed(_parsed(public_key)[0], message, signature)


def _node_key(private: ecdsa.PrivateKey) -> NodeKey:
    return NodeKey(private, ecdsa.public_pem(private.public_key()))


def _claimed(headers: tuple[tuple[str, str | bytes], ...]) -> tuple[NodeClaim, str]:
    public_key, timestamp = (
        find_binary(headers, PUBLIC_KEY_HEADER),
        find_text(headers, TIMESTAMP_HEADER),
    )
    if public_key is None or timestamp is None:
        raise MissingNodeProofError
    signed_at = _parse_timestamp(timestamp)
    try:
        return NodeClaim(_parsed(public_key)[1], signed_at), timestamp
    except ecdsa.KeyFormatError as cause:
        raise NodeSignatureError(f"the public key in the header is unusable: {cause}") from cause


def _check_age(claim: NodeClaim, now: datetime) -> None:
    age = now - claim.signed_at
    if not -SIGNATURE_FUTURE < age < SIGNATURE_PAST:
        raise NodeTimestampError(age)


@lru_cache(maxsize=_PARSED_KEYS)
def _parsed(public_key: bytes) -> tuple[ecdsa.PublicKey, bytes]:
    key = ecdsa.parse_public_key(public_key)
    return key, ecdsa.public_pem(key)


def _parse_timestamp(text: str) -> datetime:
    if len(text) > _MAX_TIMESTAMP_CHARS or not _TIMESTAMP.fullmatch(text):
        raise NodeTimestampError(None)
    try:
        instant = datetime.fromisoformat(text)
    except ValueError as cause:
        raise NodeTimestampError(None) from cause
    if instant.tzinfo is None:
        raise NodeTimestampError(None)
    return instant


def _describe_difference(difference: timedelta | None) -> str:
    if difference is None:
        return "send an ISO 8601 time with +00:00"
    seconds = difference.total_seconds()
    side = "behind" if seconds > 0 else "ahead of"
    return f"the node's clock is {abs(seconds):.0f} s {side} the SuperLink's: set the clocks by NTP"
