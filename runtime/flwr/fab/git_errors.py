"""Why an app could not be taken from a git repository: typed, each with what to type next."""

import difflib
import re
from collections.abc import Callable, Collection
from datetime import timedelta
from typing import Final

from flwr.core.errors import (
    DeniedError,
    FlwrError,
    InvalidError,
    NotFoundError,
    TooLargeError,
    UnavailableError,
)
from flwr.fab.git_reference import GitReference

_SHOWN_LINES: Final = 3
_SHOWN_NAMES: Final = 5
_CLOSE: Final = 0.5  # likeness of names worth showing, of 0 to 1


class GitMissingError(UnavailableError):
    """There is no git program."""

    def __init__(self) -> None:
        """Say how to get it, and how to do without."""
        super().__init__(
            "an app in a git repository needs the program git, which is not installed",
            hint="install it (apt-get install git), or download the sources and give their folder",
        )


class GitTimeoutError(UnavailableError):
    """The repository took too long."""

    def __init__(self, limit: timedelta) -> None:
        """Name the limit."""
        super().__init__(
            f"the repository did not deliver the app within {limit.total_seconds():.0f} s",
            hint="try again, or clone it yourself and give the folder: flwr run PATH",
        )


class GitTooLargeError(TooLargeError):
    """The repository is too large to take an app from."""

    def __init__(self, why: str) -> None:
        """Say what is too large."""
        super().__init__(
            f"the repository is too large: {why}",
            hint="name a tag or branch rather than an old or shortened commit, "
            "or clone it yourself and give the folder: flwr run PATH",
        )


class GitRefNotFoundError(NotFoundError):
    """The repository has no such tag, branch or commit."""

    def __init__(self, reference: GitReference, names: Collection[str]) -> None:
        """Show names like it, else some there are."""
        close = difflib.get_close_matches(reference.name, names, _SHOWN_NAMES, _CLOSE)
        shown = ", ".join(close or sorted(names)[:_SHOWN_NAMES])
        what = f"those like it: {shown}" if close else f"there are, among {len(names)}: {shown}"
        wanted = f"tag, branch or commit {reference.name!r}" if reference.name else "default branch"
        super().__init__(
            f"{reference.url} has no {wanted}" + (f"; {what}" if names else ""),
            hint="give one of these after the @" if names else "give the whole id of a commit",
        )


class GitEmptyError(NotFoundError):
    """The repository has no commit."""

    def __init__(self, reference: GitReference) -> None:
        """Name it."""
        super().__init__(f"{reference.url} has no commits yet", hint="push the app's sources to it")


class NoAppInRepositoryError(InvalidError):
    """There is no project where the app should be."""

    def __init__(self, reference: GitReference, commit: str, folders: Collection[str]) -> None:
        """Name the folders that hold a project."""
        where = f"folder {reference.subdirectory!r}" if reference.subdirectory else "root folder"
        found = sorted(folders)
        listed = ", ".join(found[:_SHOWN_NAMES]) + (", ..." if found[_SHOWN_NAMES:] else "")
        hint = "an app is a project with [tool.flwr.app]: `flwr new` makes one"
        if found:
            at_root = found[0] == "."
            hint = "leave out #subdirectory" if at_root else f"add #subdirectory={found[0]}"
        super().__init__(
            f"the {where} of {reference.url} at commit {commit} has no pyproject.toml; "
            + (f"folders that have one: {listed}" if found else "no folder of it has one"),
            hint=hint,
        )
        self.folders = tuple(found)


class GitContentError(InvalidError):
    """What the repository holds cannot be written down as files."""

    def __init__(self, why: str) -> None:
        """Say which file."""
        super().__init__(
            f"the repository is refused: {why}",
            hint="name a subdirectory of it with #subdirectory=PATH, or correct it there",
        )


def explain_failure(reference: GitReference, said: str, *, with_token: bool) -> FlwrError:
    """Return why git could not reach the repository; ``said`` is its standard error, redacted."""
    for pattern, make in _CAUSES:
        if pattern.search(said):
            return make(reference, with_token)
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return UnavailableError(
        f"git cannot read {reference.url}: {' / '.join(lines[-_SHOWN_LINES:]) or 'no cause told'}",
        hint=f"see whether this works: git ls-remote {reference.url}",
    )


def _denied(reference: GitReference, with_token: bool) -> FlwrError:
    if not reference.takes_token:
        return DeniedError(
            f"{reference.url} refuses your ssh keys",
            hint="load the key that may read it: ssh-add PATH",
        )
    if with_token:
        return DeniedError(
            f"{reference.url} refuses the token",
            hint="use a token that may read this repository and has not expired; where the host "
            "wants a user name, write USER:TOKEN into the file",
        )
    return DeniedError(
        f"{reference.url} is private, or does not exist",
        hint="if it is private, put a token that may read it into a file and add "
        "--git-token-file FILE",
    )


def _absent(reference: GitReference, with_token: bool) -> FlwrError:
    private = "" if with_token or not reference.takes_token else ", or it is private"
    hint = "correct the address"
    return NotFoundError(
        f"there is no repository {reference.url}{private}",
        hint=f"{hint}, or give a token: --git-token-file FILE" if private else hint,
    )


def _unresolved(reference: GitReference, _: bool) -> FlwrError:
    return UnavailableError(
        f"the host of {reference.url} is unknown",
        hint="correct the host, or look at this machine's network and DNS",
    )


def _unreachable(reference: GitReference, _: bool) -> FlwrError:
    return UnavailableError(
        f"the host of {reference.url} does not answer",
        hint=f"see whether this works: git ls-remote {reference.url}",
    )


def _untrusted(reference: GitReference, _: bool) -> FlwrError:
    return UnavailableError(
        f"the certificate of {reference.url} is not trusted",
        hint="tell git the CA: git config --global http.sslCAInfo FILE, or GIT_SSL_CAINFO=FILE",
    )


def _unknown_host(reference: GitReference, _: bool) -> FlwrError:
    return DeniedError(
        f"ssh does not know the host key of {reference.url}",
        hint="connect once by hand and compare the key: ssh -T git@HOST",
    )


def _foreign(reference: GitReference, _: bool) -> FlwrError:
    return DeniedError(
        f"{reference.url} belongs to another user of this machine",
        hint="allow it: git config --global --add safe.directory PATH",
    )


# In this order: a refused key also says that the repository could not be read.
_CAUSES: Final[tuple[tuple[re.Pattern[str], Callable[[GitReference, bool], FlwrError]], ...]] = (
    (re.compile(r"dubious ownership"), _foreign),
    (re.compile(r"Host key verification failed"), _unknown_host),
    (re.compile(r"Could not resolve host"), _unresolved),
    (re.compile(r"certificate", re.IGNORECASE), _untrusted),
    (
        re.compile(
            r"Authentication failed|could not read (?:User|Pass)|Permission denied \(|error: 40[13]"
        ),
        _denied,
    ),
    (
        re.compile(
            r"Failed to connect|Connection (?:refused|timed out|reset)|Couldn't connect"
            r"|Operation too slow|No route to host|Network is unreachable"
        ),
        _unreachable,
    ),
    (
        re.compile(
            r"not found|does not exist|does not appear to be a git repository"
            r"|no such (?:file|repo)|returned error: 404",
            re.IGNORECASE,
        ),
        _absent,
    ),
)
