"""A git reference as users write it: ``git+https://host/owner/repo@v1.2#subdirectory=apps/a``.

Text only: nothing is fetched here.  What is refused is refused before a program sees it.
"""

import ipaddress
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from flwr.core.errors import InvalidError

PREFIX: Final = "git+"
FORM: Final = "git+https://HOST/OWNER/REPO[@TAG, BRANCH OR COMMIT][#subdirectory=PATH]"
_SCHEMES: Final = ("https", "ssh", "file", "http")
_WEB: Final = frozenset({"https", "http"})
_MAX_REFERENCE: Final = 1024  # characters
_SUBDIRECTORY: Final = "subdirectory"
_HOST: Final = re.compile(r"[A-Za-z0-9\[](?:[A-Za-z0-9.:\[\]_-]*)", re.ASCII)
_USER: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*", re.ASCII)
_PATH: Final = re.compile(r"/[^\x00-\x20\x7f\\]+")
# What git itself forbids in the name of a ref, and a leading "-" or "+".
_BAD_NAME: Final = re.compile(
    r"^[-+./]|[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|/\.|\.lock(?:/|$)|[./]$"
)
_BARE: Final = re.compile(r"(?:https?|ssh|file)://|[\w.-]+@[\w.-]+:")


class GitReferenceError(InvalidError):
    """A text is no git reference, or one that is refused."""

    def __init__(self, why: str, *, hint: str = f"write it as {FORM}") -> None:
        """Say why; the text itself may hold a secret and is left out."""
        super().__init__(f"the git reference of the app is refused: {why}", hint=hint)


@dataclass(frozen=True, slots=True, kw_only=True)
class GitReference:
    """A repository, what to take of it, and where in it the app lies."""

    url: str  # as the git program takes it; free of passwords
    scheme: str
    name: str = ""  # tag, branch or commit; empty: the default branch
    subdirectory: str = ""  # relative POSIX path

    @property
    def takes_token(self) -> bool:
        """True where a token can be shown: ssh has keys, a file has owners."""
        return self.scheme in _WEB


def is_git_reference(text: str) -> bool:
    """Tell whether ``text`` means a repository rather than a folder.

    Raises:
        GitReferenceError: it is the address of a repository that lacks ``git+``.
    """
    if _BARE.match(text):
        raise GitReferenceError(
            "an address of a repository begins with git+",
            hint="put git+ before it, as in git+https://HOST/OWNER/REPO "
            "or git+ssh://git@HOST/OWNER/REPO",
        )
    return text.startswith(PREFIX)


def parse_git_reference(text: str) -> GitReference:
    """Read ``git+SCHEME://...[@NAME][#subdirectory=PATH]``.

    An ``@`` in the name or in the repository's path is written ``%40``: the last ``@`` of the path
    begins the name.

    Raises:
        GitReferenceError: it has another form, or holds a password.
    """
    if len(text) > _MAX_REFERENCE or not text.isprintable():
        raise GitReferenceError("it is too long or not printable")
    try:
        parts = urlsplit(text.removeprefix(PREFIX))
        port = parts.port
    except ValueError as cause:
        raise GitReferenceError(
            "its host or port cannot be read",
            hint="a port is a number, a path begins with a slash: git+ssh://git@HOST/OWNER/REPO",
        ) from cause
    _check_scheme(parts)
    user = _checked_user(parts)
    path, _, name = parts.path.rpartition("@") if "@" in parts.path else (parts.path, "", "")
    if "@" in parts.path and not name:
        raise GitReferenceError("nothing follows its @")
    if not _PATH.fullmatch(path):
        raise GitReferenceError("it names no repository, or one with spaces or backslashes")
    host = f"{user}{_checked_host(parts)}{f':{port}' if port else ''}"
    return GitReference(
        url=f"{parts.scheme}://{host}{path}",
        scheme=parts.scheme,
        name=_checked_name(unquote(name)),
        subdirectory=_read_subdirectory(parts.fragment),
    )


def _check_scheme(parts: SplitResult) -> None:
    if parts.scheme not in _SCHEMES:
        known = ", ".join(f"{PREFIX}{scheme}" for scheme in _SCHEMES[:-1])
        raise GitReferenceError(
            f"{parts.scheme[:20] or 'none'!r} is no way to it; there are {known}"
        )
    if parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
        raise GitReferenceError(
            "git+http sends everything in clear text",
            hint="use git+https; git+http is for repositories on this machine",
        )
    if parts.query:
        raise GitReferenceError(
            "it has a query, which may hold a secret",
            hint="leave out what follows the ?; give a token with --git-token-file FILE",
        )


def _checked_user(parts: SplitResult) -> str:
    """Return ``user@`` or nothing; a token is often given in the place of a user."""
    userinfo, at, _ = parts.netloc.rpartition("@")
    if not at:
        return ""
    if parts.scheme != "ssh" or ":" in userinfo:
        instead = (
            "ssh uses your own keys: leave the password out, and change it"
            if parts.scheme == "ssh"
            else "leave out what precedes the @ of the host, revoke that secret, and put a new one "
            "into a file: --git-token-file FILE"
        )
        raise GitReferenceError(
            "it holds a user name or password, which other users of this machine can see",
            hint=instead,
        )
    if not _USER.fullmatch(userinfo):
        raise GitReferenceError("its user name is not allowed")
    return f"{userinfo}@"


def _checked_host(parts: SplitResult) -> str:
    _, _, host = parts.netloc.rpartition("@")
    host = re.sub(r":\d*$", "", host)
    if parts.scheme == "file":
        if host:
            raise GitReferenceError(
                "git+file names a host", hint="write three slashes: git+file:///PATH/TO/REPO"
            )
    elif not _HOST.fullmatch(host):
        raise GitReferenceError("its host is missing or not allowed")
    return host


def _checked_name(name: str) -> str:
    if _BAD_NAME.search(name):
        raise GitReferenceError(
            f"{name[:80]!r} can be no tag, branch or commit",
            hint="`git ls-remote URL` lists the names",
        )
    return name


def _read_subdirectory(fragment: str) -> str:
    if not fragment:
        return ""
    pairs = parse_qsl(fragment, keep_blank_values=True)
    if [key for key, _ in pairs] != [_SUBDIRECTORY]:
        raise GitReferenceError("after its # only subdirectory=PATH may follow")
    path = PurePosixPath(pairs[0][1])
    parts = path.parts
    if not parts or path.is_absolute() or ".." in parts or not str(path).isprintable():
        raise GitReferenceError(f"the subdirectory {str(path)[:80]!r} is not inside the repository")
    return str(path)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
