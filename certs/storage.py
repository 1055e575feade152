"""How files get onto the disk: whole or not at all, never with wider rights than they end with."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from certs.errors import ExitCode, PkiError
from certs.layout import PUBLIC_SUFFIXES

READER: Final = 10001  # user and group of every container of ours
_UNFINISHED: Final = ".*.new"


@dataclass(frozen=True, slots=True)
class Rights:
    """Mode and owner a file shall have; None leaves the owner as it is."""

    mode: int
    owner: tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Change:
    """A file that was written, mended or removed, and why."""

    path: Path
    why: str


class Storage:
    """Writes below one folder and remembers what it wrote."""

    def __init__(self, root: Path, *, is_superuser: bool | None = None) -> None:
        """Take the folder; ``is_superuser`` says whether owners can be set (default: look)."""
        self.root = root
        self.is_superuser = os.geteuid() == 0 if is_superuser is None else is_superuser
        self.changes: list[Change] = []

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Make the folder, keep every other run of this tool out, clear what a dead one left."""
        self._folder(self.root)
        descriptor = os.open(self.root, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            for unfinished in (*self.root.glob(_UNFINISHED), *self.root.glob(f"*/{_UNFINISHED}")):
                unfinished.unlink()
            self.sync(self.root / ".gitignore", b"*\n", "keys stay out of version control")
            yield
        finally:
            os.close(descriptor)

    def rights_of(self, path: Path) -> Rights:
        """Return who may do what: secrets are for their owner and, below root, for our containers.

        What is not known to be public is private: operators put passwords here too.
        """
        if path.is_dir():
            return Rights(0o700 if path.name == "ca" else 0o755, None)
        is_public = path.suffix in PUBLIC_SUFFIXES or path.name in PUBLIC_SUFFIXES
        if not self.is_superuser:
            return Rights(0o644 if is_public else 0o600, None)
        if is_public or path.parent.name == "ca":
            return Rights(0o644 if is_public else 0o600, (0, 0))
        return Rights(0o640, (0, READER))

    def sync(self, path: Path, content: bytes, why: str) -> None:
        """Write the file unless it holds exactly that."""
        if not path.exists() or path.read_bytes() != content:
            self.write(path, content, why)

    def write(self, path: Path, content: bytes, why: str) -> None:
        """Replace the file in one step; a reader sees the old content or the new."""
        self._folder(path.parent)
        rights = self.rights_of(path)
        unfinished = path.with_name(f".{path.name}.new")
        unfinished.unlink(missing_ok=True)
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            if rights.owner is not None:
                self._chown(unfinished, rights.owner)
            os.fchmod(file.fileno(), rights.mode)
        unfinished.replace(path)
        self.changes.append(Change(path, why))

    def remove(self, path: Path, why: str) -> None:
        """Remove the file if it is there."""
        if path.exists():
            path.unlink()
            self.changes.append(Change(path, why))

    def settle(self, path: Path) -> None:
        """Give what was here before the rights it would get today, if we may."""
        rights, found = self.rights_of(path), path.stat()
        is_owner_right = rights.owner in {None, (found.st_uid, found.st_gid)}
        if found.st_mode & 0o777 == rights.mode and is_owner_right:
            return
        if not self.is_superuser and found.st_uid != os.geteuid():
            return
        if rights.owner is not None:
            self._chown(path, rights.owner)
        path.chmod(rights.mode)
        self.changes.append(Change(path, f"rights set to {rights.mode:04o}"))

    def _folder(self, folder: Path) -> None:
        if folder.is_dir():
            return
        if folder.exists():
            raise PkiError(f"{folder} is no folder", "move it away, or give another --out")
        folder.mkdir(parents=True)
        folder.chmod(self.rights_of(folder).mode)

    def _chown(self, path: Path, owner: tuple[int, int]) -> None:
        try:
            os.chown(path, *owner)
        except PermissionError as cause:
            raise PkiError(
                f"{path} cannot be given to {owner[0]}:{owner[1]}",
                "this disk or container does not let root set owners (CAP_CHOWN, root squash): "
                "use a folder on a local disk",
                code=ExitCode.UNREACHABLE,
            ) from cause
