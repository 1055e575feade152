"""A disk that keeps for sure only what was waited for, and a power cut."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from flwr.store.store import Store, open_store

_PARTS: Final = ("", "-wal")


class Disk:
    """The files of one SQLite store of small objects, and what of them survives a power cut."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.store: Store = open_store(str(path))
        self._sure: dict[str, bytes] = {}
        self.note()

    def note(self) -> None:
        """Everything written by now is on the disk."""
        self._sure = {part: self._named(part).read_bytes() for part in _PARTS}

    def cut_power(self) -> Store:
        """Return the store as it is when the power is back."""
        after = self.path.parent / "after-the-cut"
        after.mkdir()
        for part, content in self._sure.items():
            (after / f"{self.path.name}{part}").write_bytes(content)
        self.store.close()
        self.path = after / self.path.name
        self.store = open_store(str(self.path))
        self.note()
        return self.store

    def _named(self, part: str) -> Path:
        return self.path.with_name(self.path.name + part)


@contextmanager
def disk(path: Path) -> Iterator[Disk]:
    """Yield the disk of a fresh store at ``path``, which must not fill its log."""
    real = os.fdatasync
    made = Disk(path)

    def sync(descriptor: int) -> None:
        real(descriptor)
        made.note()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fdatasync", sync)
        yield made
    made.store.close()
