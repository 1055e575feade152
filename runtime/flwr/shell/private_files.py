"""Small files only their owner may read: keys, secrets, certificates of one machine."""

import os
from pathlib import Path

from flwr.core.errors import InvalidError


class StateDirError(InvalidError):
    """The state directory cannot be used."""

    def __init__(self, path: Path, why: str) -> None:
        """Name the directory and the remedy."""
        super().__init__(
            f"cannot use state directory {path}: {why}",
            hint="make --state-dir writable for the user this program runs as",
        )


def write_private(path: Path, content: bytes) -> None:
    """Write a file only we may read; complete or not at all, also after a power cut.

    Raises:
        StateDirError: the directory cannot be made or written.
    """
    draft = path.with_name(f"{path.name}.new")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft.unlink(missing_ok=True)
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError as cause:
        raise StateDirError(path.parent, cause.strerror or str(cause)) from cause
