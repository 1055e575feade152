"""The user's logins at SuperLinks: one file below FLWR_HOME, which only its owner can read.

Its form is the contract's (§5.5): YAML of one level, values in base64, so that upstream's command
and ours find each other's logins.
"""

import base64
import binascii
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from flwr.control.login import NO_ACCOUNTS, OIDC
from flwr.core.errors import InvalidError
from flwr.shell.private_files import StateDirError, write_private
from flwr.wire.clients.accounts import Tokens

_KEY: Final = "flower.account-auth.{address}.{what}"
_KIND, _ACCESS, _REFRESH = "authn-type", "oidc-access-token", "oidc-refresh-token"


class CredentialsError(InvalidError):
    """The file of logins cannot be used."""

    def __init__(
        self, path: Path, why: str, hint: str = "remove the file and log in again: flwr login"
    ) -> None:
        """Name the file and the remedy."""
        super().__init__(f"cannot use the logins in {path}: {why}", hint=hint)


class Login:
    """The login at one SuperLink; keeps its tokens."""

    def __init__(self, path: Path, address: str) -> None:
        """Read nothing yet: ``path`` need not exist."""
        self._path, self._address = path, address

    def load(self) -> Tokens | None:
        """Return the tokens; None for a user who is not logged in there.

        Raises:
            CredentialsError: the file has another form.
        """
        entries = self._read()
        if self._value(entries, _KIND) in {"", NO_ACCOUNTS}:
            return None
        access, refresh = self._value(entries, _ACCESS), self._value(entries, _REFRESH)
        return Tokens(access, refresh) if access and refresh else None

    def save(self, tokens: Tokens) -> None:
        """Keep the tokens; other SuperLinks' stay what they are.

        Raises:
            CredentialsError: the file has another form or cannot be written.
        """
        new = {_KIND: OIDC, _ACCESS: tokens.access, _REFRESH: tokens.refresh}
        written = {
            self._key(what): base64.b64encode(value.encode()).decode()
            for what, value in new.items()
        }
        text = _yaml(self._path).safe_dump({**self._read(), **written})
        try:
            write_private(self._path, text.encode())
        except StateDirError as cause:
            raise CredentialsError(self._path, cause.message) from cause

    def _read(self) -> Mapping[str, str]:
        try:
            text = self._path.read_text()
        except FileNotFoundError:
            return {}
        except (OSError, UnicodeDecodeError) as cause:
            raise CredentialsError(self._path, "it cannot be read") from cause
        yaml = _yaml(self._path)
        try:
            found = yaml.safe_load(text)
        except yaml.YAMLError as cause:
            raise CredentialsError(self._path, "it is no YAML") from cause
        if not isinstance(found, Mapping | None):
            raise CredentialsError(self._path, "it is no table")
        return {str(key): str(value) for key, value in (found or {}).items()}

    def _value(self, entries: Mapping[str, str], what: str) -> str:
        try:
            return base64.b64decode(entries.get(self._key(what), ""), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as cause:
            raise CredentialsError(self._path, f"{what} is not base64") from cause

    def _key(self, what: str) -> str:
        return _KEY.format(address=self._address, what=what)


def _yaml(path: Path) -> Any:
    """Return the module; only who has logins needs it, and the image of the command has none."""
    try:
        import yaml  # noqa: PLC0415 - see above
    except ModuleNotFoundError as cause:
        why = "the package PyYAML is not installed here"
        raise CredentialsError(path, why, hint="pip install PyYAML") from cause
    return yaml
