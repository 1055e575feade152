"""The directory of installed apps and settings: ``FLWR_HOME``, else ``~/.flwr``.

In a container there is often neither: the user has no home, or the root is read-only.  What is kept
there can be made again, so a directory of ours below the temporary one serves as well.
"""

import os
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from flwr.core.errors import InvalidError

HOME_VARIABLE: Final = "FLWR_HOME"
_OTHERS_MAY_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


class NoHomeError(InvalidError):
    """There is no directory to keep apps and settings in."""

    def __init__(self, path: Path, why: str) -> None:
        """Name the directory and the remedy."""
        super().__init__(
            f"cannot keep apps and settings in {path}: {why}",
            hint=f"set {HOME_VARIABLE} to a directory only this user can write",
        )


def flwr_home(env: Mapping[str, str] = os.environ) -> Path:
    """Return the directory; it need not exist yet.

    Raises:
        NoHomeError: the only one there could be belongs to somebody else.
    """
    if given := env.get(HOME_VARIABLE):
        return Path(given).expanduser()
    usual = user_home(env)
    if usual is not None and _is_writable(usual):
        return usual
    return _temporary()


def user_home(env: Mapping[str, str] = os.environ) -> Path | None:
    """Return ``~/.flwr``, None for a user without a home."""
    home = env.get("HOME")
    if home:
        return Path(home) / ".flwr"
    try:
        return Path.home() / ".flwr"
    except RuntimeError:  # the user id is in no list of users
        return None


def _is_writable(path: Path) -> bool:
    for place in (path, *path.parents):
        if os.path.lexists(place):
            return os.access(place, os.W_OK | os.X_OK)
    return False


def _temporary() -> Path:
    """Return a directory of ours below the temporary one, where others may write too."""
    path = Path(tempfile.gettempdir()) / f"flwr-{os.getuid()}"
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        found = path.lstat()
    except OSError as cause:
        raise NoHomeError(path, cause.strerror or str(cause)) from cause
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise NoHomeError(path, "it belongs to somebody else")
    if found.st_mode & _OTHERS_MAY_WRITE:
        raise NoHomeError(path, "others may write it")
    return path
