"""Logging in at a SuperLink with accounts: a person opens a page, we ask until they are done."""

from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from flwr.control.api import Control
from flwr.core.clock import Clock
from flwr.core.errors import UnauthenticatedError, UnavailableError, UnimplementedError

if TYPE_CHECKING:
    from flwr.wire.clients.accounts import LoginDetails, Tokens

NO_ACCOUNTS: Final = "noop"  # names of ways to log in (wire contract §5.5)
OIDC: Final = "oidc"
_SHORTEST: Final = timedelta(seconds=1)  # between two questions, whatever the SuperLink says


class NoAccountsError(UnimplementedError):
    """The SuperLink does not know accounts."""

    def __init__(self, name: str) -> None:
        """Name the SuperLink."""
        super().__init__(
            f"the SuperLink {name} has no accounts: there is nothing to log in to",
            hint="use it without a login; whoever reaches its Control API may use it",
        )


class UnknownLoginError(UnimplementedError):
    """The SuperLink wants a way to log in that this release does not have."""

    def __init__(self, authn_type: str) -> None:
        """Name the way."""
        super().__init__(
            f"the SuperLink wants a login of type {authn_type!r}, which this release cannot do",
            hint="look for a newer release",
        )


class LoginExpiredError(UnauthenticatedError):
    """The person did not finish in time."""

    def __init__(self, limit: timedelta) -> None:
        """Name the time there was."""
        super().__init__(
            f"the login was not finished within {limit.total_seconds():g} s",
            hint="begin again: flwr login",
        )


def begin_login(control: Control, name: str) -> "LoginDetails":
    """Return what a person has to open.

    Raises:
        NoAccountsError: the SuperLink called ``name`` has no accounts.
        UnknownLoginError: it wants another way to log in.
    """
    try:
        details = control.login_details()
    except UnimplementedError as cause:
        raise NoAccountsError(name) from cause
    if details.authn_type == NO_ACCOUNTS:
        raise NoAccountsError(name)
    if details.authn_type != OIDC:
        raise UnknownLoginError(details.authn_type)
    return details


def await_tokens(
    control: Control,
    details: "LoginDetails",
    *,
    clock: Clock,
    pause: Callable[[float], None],
) -> "Tokens":
    """Return the tokens once the person is done.

    Raises:
        LoginExpiredError: it took longer than the SuperLink allows.
    """
    until = clock.monotonic() + details.expires_in.total_seconds()
    interval_s = max(details.interval, _SHORTEST).total_seconds()
    while True:
        try:
            tokens = control.auth_tokens(details.device_code)
        except UnavailableError:
            tokens = None  # the person's page stays open meanwhile
        if tokens is not None:
            return tokens
        if clock.monotonic() + interval_s > until:
            raise LoginExpiredError(details.expires_in)
        pause(interval_s)
