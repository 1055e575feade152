"""Large objects as files beside the database.

A file is complete and durable before the row that names it commits, and is removed only after the
row is gone for good.  Every write has a name of its own (``ab/<object id>.<random>``), so removing
an old copy can never hit a new one.  What a crash leaves behind is swept when a store is opened.
"""

import logging
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from flwr.core.ids import ObjectId
from flwr.store.errors import system_errors

logger: Final = logging.getLogger(__name__)


class Payloads:
    """The directory of payload files."""

    def __init__(self, directory: Path) -> None:
        """Use ``directory``; it is made with the first file."""
        self.directory = directory

    def write(self, object_id: ObjectId, content: bytes) -> str:
        """Write a file and make its content durable; ``seal`` makes its name durable."""
        name = f"{object_id[:2]}/{object_id}.{secrets.token_hex(4)}"
        target = self.directory / name
        temporary = target.with_name(f"{target.name}.tmp")
        with system_errors(str(self.directory)):
            if not target.parent.is_dir():
                self._make(target.parent)
            try:
                _write_durably(temporary, content)
                temporary.rename(target)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
        return name

    def seal(self, names: list[str]) -> None:
        """Make the names of written files durable."""
        with system_errors(str(self.directory)):
            for folder in {name[:2] for name in names}:
                _sync_directory(self.directory / folder)

    def read(self, name: str) -> bytes | None:
        """Return the content, None if the file is gone."""
        with system_errors(str(self.directory)):
            try:
                return (self.directory / name).read_bytes()
            except FileNotFoundError:
                return None

    def remove(self, names: list[str]) -> None:
        """Remove files; one that resists is logged and left to the next sweep."""
        for name in names:
            try:
                (self.directory / name).unlink(missing_ok=True)
            except OSError:
                logger.exception(
                    "Cannot remove a payload file",
                    extra={"event": "payload.remove", "path": name},
                )

    def names(self) -> Iterator[str]:
        """Yield the names of all files, unfinished ones included."""
        for path in self.directory.glob("??/*"):
            yield f"{path.parent.name}/{path.name}"

    def _make(self, folder: Path) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _sync_directory(self.directory)
        _sync_directory(self.directory.parent)


class PayloadChanges:
    """The files one transaction writes and gives up."""

    def __init__(self, payloads: Payloads) -> None:
        """Collect changes of ``payloads``."""
        self._payloads = payloads
        self._written: list[str] = []
        self._doomed: list[str] = []

    def write(self, object_id: ObjectId, content: bytes) -> str:
        """Write a file now; return its name for the row."""
        name = self._payloads.write(object_id, content)
        self._written.append(name)
        return name

    def read(self, name: str) -> bytes | None:
        """Return the content of a file, None if it is gone."""
        return self._payloads.read(name)

    def remove(self, names: list[str]) -> None:
        """Remove the files once the transaction has committed."""
        self._doomed += names

    def seal(self) -> None:
        """Make everything written durable; call before the commit."""
        self._payloads.seal(self._written)

    def committed(self) -> None:
        """Remove what the committed transaction gave up."""
        self._payloads.remove(self._doomed)

    def rolled_back(self) -> None:
        """Remove what the failed transaction wrote."""
        self._payloads.remove(self._written)


def _write_durably(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        view = memoryview(content)
        while view:
            view = view[file.write(view) :]
        os.fsync(descriptor)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
