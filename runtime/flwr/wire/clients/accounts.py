"""A user's proof on calls to Control: a pair of tokens, got by logging in (wire contract §5.5).

Tokens travel as call metadata.  A server that renewed them answers with the new pair in its initial
metadata; whoever keeps them is told.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, Protocol

from flwr.proto import control_pb2

ACCESS_TOKEN: Final = "flwr-oidc-access-token"  # noqa: S105 - a name, not a token
REFRESH_TOKEN: Final = "flwr-oidc-refresh-token"  # noqa: S105


@dataclass(frozen=True, slots=True)
class Tokens:
    """What proves an account; whoever has it, is the account."""

    access: str = field(repr=False)
    refresh: str = field(repr=False)

    def headers(self) -> tuple[tuple[str, str], ...]:
        """Return the metadata of a call in this account's name."""
        return (ACCESS_TOKEN, self.access), (REFRESH_TOKEN, self.refresh)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginDetails:
    """How to log in at a SuperLink."""

    authn_type: str
    device_code: str = field(repr=False)
    verification_uri: str  # a person opens it
    expires_in: timedelta
    interval: timedelta  # between two questions whether they are done


class TokenKeeper(Protocol):
    """Where a user's tokens for one SuperLink are."""

    def load(self) -> Tokens | None:
        """Return them; None for a user who is not logged in."""
        ...

    def save(self, tokens: Tokens) -> None:
        """Keep the pair that replaces the former one."""
        ...


def decode_login(response: control_pb2.GetLoginDetailsResponse) -> LoginDetails:
    """Return what a SuperLink says about logging in."""
    return LoginDetails(
        authn_type=response.authn_type,
        device_code=response.device_code,
        verification_uri=response.verification_uri_complete,
        expires_in=timedelta(seconds=response.expires_in),
        interval=timedelta(seconds=response.interval),
    )


def decode_tokens(response: control_pb2.GetAuthTokensResponse) -> Tokens | None:
    """Return the tokens; None while the person has not finished logging in."""
    if not response.access_token or not response.refresh_token:
        return None
    return Tokens(response.access_token, response.refresh_token)


def renewed_tokens(initial_metadata: Iterable[tuple[str, Any]] | None) -> Tokens | None:
    """Return the pair a server sent with its answer; None if it renewed nothing."""
    said: Mapping[str, Any] = dict(initial_metadata or ())
    access, refresh = said.get(ACCESS_TOKEN), said.get(REFRESH_TOKEN)
    if not isinstance(access, str) or not isinstance(refresh, str) or not access or not refresh:
        return None
    return Tokens(access, refresh)
