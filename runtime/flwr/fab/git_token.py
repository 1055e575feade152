"""The secret for a private repository: read from a file, told to git by its environment only.

It enters no argument, address, log or configuration file.
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self
from urllib.parse import quote, urlsplit

from flwr.core.errors import InvalidError

_VARIABLE: Final = "FLWR_GIT_TOKEN"  # of git's process alone
_USER: Final = (
    "x-access-token"  # GitHub, GitLab, Gitea and Azure take any; user:token names another
)
_MAX_BYTES: Final = 8192
_TEXT: Final = re.compile(r"[\x21-\x7e]+")
_HIDDEN: Final = "***"
# Run by git itself.  A constant: nothing of the user's is part of it, printf is the shell's own.
_HELPER: Final = f"""!f() {{ test "$1" = get && printf 'password=%s\\n' "${_VARIABLE}"; }}; f"""


class GitTokenError(InvalidError):
    """A file does not hold a token."""

    def __init__(self, path: Path, why: str) -> None:
        """Name the file; its content stays untold."""
        super().__init__(
            f"--git-token-file {path}: {why}",
            hint="put the token alone, or USER:TOKEN, on the only line of the file",
        )


@dataclass(frozen=True, slots=True)
class GitToken:
    """A token for one host."""

    user: str
    secret: str = field(repr=False)
    host_url: str  # scheme, host and port it is for; git shows it to nobody else

    @classmethod
    def read(cls, path: Path, url: str) -> Self:
        """Read the token in ``path`` for the host of ``url``.

        Raises:
            GitTokenError: the file cannot be read, or holds something else.
        """
        try:
            with path.expanduser().open("rb") as file:
                text = file.read(_MAX_BYTES).decode().strip()
        except (OSError, UnicodeDecodeError) as cause:
            why = (cause.strerror if isinstance(cause, OSError) else None) or "it is no text"
            raise GitTokenError(path, why) from cause
        if not _TEXT.fullmatch(text):
            raise GitTokenError(path, "it is empty, or holds more than one word")
        user, colon, secret = text.rpartition(":")
        if colon and not (user and secret):
            raise GitTokenError(path, "its user or its token is empty")
        parts = urlsplit(url)
        return cls(user or _USER, secret, f"{parts.scheme}://{parts.netloc}")

    @property
    def environment(self) -> Mapping[str, str]:
        """What git's process is told."""
        return {_VARIABLE: self.secret}

    @property
    def settings(self) -> tuple[str, ...]:
        """Git settings: the helper for this host; no other helper sees, or keeps, the token."""
        return (
            "credential.helper=",  # the empty value forgets those of the user's configuration
            f"credential.{self.host_url}.helper=",
            f"credential.{self.host_url}.helper={_HELPER}",
            f"credential.{self.host_url}.username={self.user}",
            "credential.useHttpPath=false",
        )

    def redact(self, text: str) -> str:
        """Return ``text`` without the secret, in whatever form git may have written it."""
        basic = base64.b64encode(f"{self.user}:{self.secret}".encode()).decode()
        for form in (basic, quote(self.secret, safe=""), self.secret):
            text = text.replace(form, _HIDDEN)
        return text
