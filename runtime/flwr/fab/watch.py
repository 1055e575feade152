"""Whether an installed app is still what it was when it was imported, told without reading it.

A process that keeps an app imported loads further modules of it later: these must be the bundle's.
"""

import os
from pathlib import Path
from typing import Final

from flwr.fab.install import InstalledApp, may_be_code, relative_files

_GONE: Final = ()

Signature = tuple[int, ...]


class AppWatch:
    """Remembers the files of one app; bytecode is dropped at every look, as by an installation."""

    def __init__(self, app: InstalledApp) -> None:
        self._root, self._files = app.path, app.files
        self._seen = self._look()

    def is_unchanged(self) -> bool:
        """Tell whether no file of the bundle was touched and nothing importable was added."""
        return self._look() == self._seen

    def _look(self) -> dict[str, Signature]:
        found = {path: _signature(self._root / path) for path in self._files}
        for path in set(relative_files(self._root)) - self._files:
            if may_be_code(self._root / path):
                found[path] = _signature(self._root / path)
        return found


def _signature(path: Path) -> Signature:
    """Return what no write leaves as it was: the kernel sets the time of the last change."""
    try:
        found = os.lstat(path)
    except OSError:
        return _GONE
    return (found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
