"""Where a Ray of our own keeps its sockets and logs: a folder that goes with the run.

A run that is killed leaves its folder; the next one removes it.  Which folders are in use is known
by their locks, which end with their process.
"""

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_YOUNG_S: Final = 60.0
_PREFIX: Final = "flwr-ray-"  # short: a socket's whole path has 107 characters at most


@contextmanager
def new_folder(parent: Path | None = None) -> Iterator[Path]:
    """Yield a new folder that only this user can read; it is gone when the block is left.

    Args:
        parent: where; None: where temporary files go.
    """
    parent = parent or Path(tempfile.gettempdir())
    for left in parent.glob(f"{_PREFIX}*"):
        with suppress(FileNotFoundError):  # another run was faster
            _remove_if_left(left)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    lock = _lock(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if lock is not None:
            os.close(lock)


def _remove_if_left(folder: Path) -> None:
    if time.time() - folder.stat().st_mtime < _YOUNG_S:  # may be on its way to its lock
        return
    lock = _lock(folder)
    if lock is not None:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _lock(folder: Path) -> int | None:
    """Lock a folder; None when another has it, or it is not ours."""
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(lock)
        return None
    return lock
