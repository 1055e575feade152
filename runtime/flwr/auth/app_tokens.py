"""Launch tokens: the secret by which an app's process acts for its run (wire contract §5.4, §12.2).

A token is shown once, to whoever launches the process.  Everything kept is its SHA-256.
"""

import hashlib
import secrets
from typing import Final

from flwr.auth.headers import Headers, find_text
from flwr.core.errors import DeniedError, UnauthenticatedError
from flwr.core.limits import TOKEN_BYTES

TOKEN_HEADER: Final = "flwr-app-token"  # noqa: S105 - the name of a header, not a secret
_MAX_TOKEN_CHARS: Final = 4 * TOKEN_BYTES


class TokenRefusedError(UnauthenticatedError):
    """The call carries no live token."""

    def __init__(self, hint: str = "") -> None:
        """Say it in the words the wire contract fixes (§5.4)."""
        super().__init__("Authentication failed.", hint=hint)


class BodyTokenRefusedError(DeniedError):
    """The token in the request's body, as older processes send it, is not live."""

    def __init__(self) -> None:
        """Say it in the words the wire contract fixes (§5.4)."""
        super().__init__("Invalid token.")


class WrongRunError(DeniedError):
    """The token was granted for another run than the request names."""

    def __init__(self) -> None:
        """Name neither run: the caller knows both, others need not."""
        super().__init__("The token was granted for another run.")


def new_token() -> str:
    """Return a fresh token: 256 hex digits."""
    return secrets.token_hex(TOKEN_BYTES)


def hash_token(token: str) -> str:
    """Return the hex SHA-256 under which a lease is kept."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def find_token(headers: Headers) -> str | None:
    """Return the token in the headers; None when missing, empty, repeated or absurdly long."""
    token = find_text(headers, TOKEN_HEADER)
    return token if token is not None and len(token) <= _MAX_TOKEN_CHARS else None


def token_headers(token: str) -> tuple[tuple[str, str], ...]:
    """Return the headers that carry ``token``."""
    return ((TOKEN_HEADER, token),)
