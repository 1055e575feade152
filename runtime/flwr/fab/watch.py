"""Whether an installed app is still what it was when it was imported, told without reading it.

A process that keeps an app imported loads further modules of it later: these must be the bundle's.
"""

import os
from typing import Final

from flwr.fab.install import InstalledApp, may_be_code, relative_files

_GONE: Final = ()

Signature = tuple[int, ...]


class AppWatch:
    """Remembers the files of one app; bytecode is dropped at every look, as by an installation."""

    def __init__(self, app: InstalledApp) -> None:
        self._root, self._files = app.path, app.files
        self._folders: dict[str, Signature] = {}
        self._seen = self._look()

    def is_unchanged(self) -> bool:
        """Tell whether no file of the bundle was touched and nothing importable was added."""
        return self._is_untouched() or self._look() == self._seen

    def _is_untouched(self) -> bool:
        """Tell whether nothing came or went either, as the directories themselves say."""
        return all(_signature(path) == seen for path, seen in self._folders.items()) and all(
            _signature(path) == seen for path, seen in self._seen.items()
        )

    def _look(self) -> dict[str, Signature]:
        self._folders = {folder: _signature(folder) for folder, _, _ in os.walk(self._root)}
        places = {os.path.join(self._root, name) for name in self._files}  # noqa: PTH118 - cheaper
        found = {place: _signature(place) for place in places}
        for name in set(relative_files(self._root)) - self._files:
            if may_be_code(self._root / name):
                place = os.path.join(self._root, name)  # noqa: PTH118
                found[place] = _signature(place)
        return found


def _signature(path: str) -> Signature:
    """Return what no write leaves as it was: the kernel sets the time of the last change."""
    try:
        found = os.lstat(path)
    except OSError:
        return _GONE
    return (found.st_ino, found.st_mode, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
