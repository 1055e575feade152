"""What our own nodes sign beyond the contract: method, body and a nonce, so that no call replays.

Upstream's signature covers a timestamp only and can be replayed for 305 s (wire contract §19 no.
14).  Our nodes add a second signature; a server that does not know it ignores it.  A node cannot be
made to look like an older one by leaving the second signature out: headers that have once come with
it, and everything signed before them, are refused without it.

Where the second signature is, the first is not looked at (docs/adr/0014).  Nothing is lost by that:
both are made with the same key, and the second covers the timestamp that is all the first says.  A
call without a good second signature is refused, however good the first is, and a call is noted as
used only once its second signature is verified.
"""

import hashlib
import re
import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from flwr.auth.headers import Headers, find_binary, find_text
from flwr.auth.node_keys import (
    TIMESTAMP_HEADER,
    NodeClaim,
    NodeKey,
    NodeProof,
    NodeSignatureError,
    is_signed_by,
    sign_call,
)
from flwr.auth.nonces import NonceBook
from flwr.core.limits import SIGNATURE_PAST
from flwr.crypto import ecdsa

NONCE_HEADER: Final = "flwr-compose-nonce"
BINDING_HEADER: Final = "flwr-compose-signature-bin"

_NONCE_BYTES: Final = 16
_NONCE: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)
_REPEATED: Final = "this call was made before"


def sign_bound_call(
    key: NodeKey, method: str, body: bytes, *, at: datetime
) -> tuple[tuple[str, str | bytes], ...]:
    """Return the contract's three headers and the two that bind them to one call.

    Args:
        key: the node's.
        method: full path, ``/package.Service/Method``.
        body: the request exactly as it is sent.
        at: the present instant.
    """
    timestamp, nonce = at.astimezone(UTC).isoformat(), secrets.token_hex(_NONCE_BYTES)
    binding = ecdsa.sign(key.private, _bound_text(method, timestamp, nonce, body))
    return (*sign_call(key, at=at), (NONCE_HEADER, nonce), (BINDING_HEADER, binding))


def is_bound(headers: Headers) -> bool:
    """Tell whether the caller binds its calls: then it must do so rightly."""
    return any(name in {NONCE_HEADER, BINDING_HEADER} for name, _ in headers)


def verify_bound_call(headers: Headers, claim: NodeClaim, method: str, body: bytes) -> NodeProof:
    """Check the signature over one call and return what it proves.

    Args:
        headers: of the call.
        claim: what ``read_claim`` read in them.
        method: full path, ``/package.Service/Method``.
        body: the request exactly as it came.

    Raises:
        NodeSignatureError: it is malformed, or not by the key that is claimed over this call.
    """
    pairs = tuple(headers)
    nonce, binding = claimed_nonce(pairs), find_binary(pairs, BINDING_HEADER)
    timestamp = find_text(pairs, TIMESTAMP_HEADER)
    if nonce is None or binding is None or timestamp is None or not _NONCE.fullmatch(nonce):
        raise NodeSignatureError("the headers that bind the signature to the call are malformed")
    if not is_signed_by(claim.public_key, _bound_text(method, timestamp, nonce, body), binding):
        raise NodeSignatureError("the call was changed after it was signed")
    return NodeProof(claim.public_key, claim.signed_at)


def claimed_nonce(headers: Headers) -> str | None:
    """Return the nonce a caller claims, unverified; None for a call that is not bound."""
    return find_text(headers, NONCE_HEADER)


@dataclass(slots=True)
class _Key:
    """What is remembered of one key's bound calls."""

    newest: datetime  # signed at
    until: datetime  # when all of it may be forgotten
    nonces: NonceBook = field(default_factory=NonceBook)


class ReplayGuard:
    """Refuses what was called before; one per server, thread-safe.

    A call is judged twice: when its headers arrive, within the window of its signature, and when
    its body is here too, which over a slow line may be much later.
    """

    def __init__(self) -> None:
        self._keys: OrderedDict[bytes, _Key] = OrderedDict()  # least recently used first
        self._lock = threading.Lock()

    def look(self, claim: NodeClaim, nonce: str | None) -> None:
        """Refuse headers that were used before; notes nothing, so they need not be verified.

        Raises:
            NodeSignatureError: the call, or the headers without their binding, were used before.
        """
        with self._lock:
            self._refuse_known(self._keys.get(claim.public_key), claim, nonce)

    def check(self, proof: NodeProof, nonce: str | None, *, now: datetime) -> None:
        """Note one call of a node that is known to the caller.

        Args:
            proof: the verified signature.
            nonce: of a bound call, None otherwise.
            now: the present instant.

        Raises:
            NodeSignatureError: the call, or the headers without their binding, were used before.
            UnavailableError: this node makes more calls than can be remembered.
        """
        key, until = proof.public_key, max(proof.signed_at, now) + SIGNATURE_PAST
        with self._lock:
            self._forget(now)
            known = self._keys.get(key)
            self._refuse_known(known, proof, nonce)
            if nonce is None:
                return
            if known is None:
                known = self._keys[key] = _Key(proof.signed_at, until)
            if not known.nonces.use(nonce, until=until, now=now):
                raise NodeSignatureError(_REPEATED)
            known.newest, known.until = max(known.newest, proof.signed_at), max(known.until, until)
            self._keys.move_to_end(key)

    @staticmethod
    def _refuse_known(known: _Key | None, claim: NodeClaim, nonce: str | None) -> None:
        if known is None:
            return
        if nonce is None and claim.signed_at <= known.newest:
            raise NodeSignatureError("these headers belong to a call that was bound")
        if nonce is not None and nonce in known.nonces:
            raise NodeSignatureError(_REPEATED)

    def _forget(self, now: datetime) -> None:
        """Drop keys whose every signature the window refuses."""
        while self._keys:
            key = next(iter(self._keys))
            if self._keys[key].until > now:
                return
            del self._keys[key]


def _bound_text(method: str, timestamp: str, nonce: str, body: bytes) -> bytes:
    digest = hashlib.sha256(body).hexdigest()
    return f"flwr-compose-v1\n{method}\n{timestamp}\n{nonce}\n{digest}".encode()
