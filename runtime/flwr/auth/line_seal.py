"""How a node proves what it says on its line: one signature opens it, a seal follows every frame.

The opening is signed like any call of a node, and with it a key made for this line only.  With the
SuperLink's key for the same line both agree on a secret that nobody between them can know, so that
what comes on a line is of its node, in its order, once: also in clear text and behind proxies.
"""

import hmac
from dataclasses import dataclass, field
from typing import Final

from flwr.auth.node_keys import NodeSignatureError, PublicKeyError
from flwr.crypto import ecdsa, symmetric

SEAL_BYTES: Final = 32
_NUMBER_BYTES: Final = 8
_DERIVATION: Final = b"flwr-compose-line-v1\n"


class BadSealError(NodeSignatureError):
    """A frame is not by the node that opened the line, or not the next one."""

    def __init__(self) -> None:
        """Say which of the proofs it is."""
        super().__init__("a frame of the line was changed, repeated or left out")


@dataclass(slots=True)
class LineSeal:
    """Seals the frames of one line at the one end, and breaks the seals at the other."""

    _key: bytes = field(repr=False)
    _number: int = 0

    def seal(self, frame: bytes) -> bytes:
        """Return the next frame with its seal before it."""
        return self._next(frame) + frame

    def open(self, sealed: bytes) -> bytes:
        """Return what the next frame says.

        Raises:
            BadSealError: it is not the next frame of this line.
        """
        frame = sealed[SEAL_BYTES:]
        if not hmac.compare_digest(self._next(frame), sealed[:SEAL_BYTES]):
            raise BadSealError
        return frame

    def _next(self, frame: bytes) -> bytes:
        self._number += 1
        number = self._number.to_bytes(_NUMBER_BYTES)
        return symmetric.authenticate(self._key, number + frame)


class LineKey:
    """One end's key for one line."""

    def __init__(self) -> None:
        """Make it."""
        self._private = ecdsa.new_signing_key()
        self.public = ecdsa.public_pem(self._private.public_key())
        """What the other end is told, PEM."""

    def seal_of_node(self, link_key: bytes) -> LineSeal:
        """Return the node's seal, given the SuperLink's key.

        Raises:
            PublicKeyError: it is none.
        """
        return self._agree(link_key, self.public, link_key)

    def seal_by_link(self, node_key: bytes) -> LineSeal:
        """Return what breaks the node's seals, given the node's key.

        Raises:
            PublicKeyError: it is none.
        """
        return self._agree(node_key, node_key, self.public)

    def _agree(self, other: bytes, node_key: bytes, link_key: bytes) -> LineSeal:
        try:
            secret = symmetric.agree(self._private, ecdsa.parse_public_key(other))
        except ValueError as cause:
            raise PublicKeyError(f"the key of the line: {cause}") from cause
        return LineSeal(symmetric.authenticate(secret, _DERIVATION + node_key + link_key))
