"""Large objects as files beside the database.

A file is complete before the row that names it commits, and is removed only after the row is gone
for good.  Every write has a name of its own (``payload_layout``), so removing an old copy can never
hit a new one.  What a crash leaves behind is swept when a store is opened.

A file is durable before its row commits, too, unless its name is unsure: such a one is synced
when somebody is promised it, which may be never, and hashed when a store is opened (ADR-0023).

Content is hashed when it is written.  A file that looks as it was left then is not hashed again by
the same process: not before every read.
"""

import logging
import os
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final, Self

from flwr.core.ids import ObjectId
from flwr.store.errors import DISK_FULL, system_errors
from flwr.store.freeing import Freeing
from flwr.store.leaving import Leaving
from flwr.store.payload_layout import file_name, is_unsure, lead_before, lead_of

logger: Final = logging.getLogger(__name__)

_HASHED_AT_ONCE: Final = 1_048_576  # bytes of a file that are in memory while it is hashed
_WRITTEN_AT_ONCE: Final = 32_768
"""Bytes of one write, and where writes end: the most memory in one stretch of which Linux keeps
some at hand for each processor.  Larger stretches were free for long.  A virtual machine has given
them back to its host by then, if that is asked of it, and waits ten times as long for them
(docs/performance.md, "Memory that was free for long")."""
_NOTHING: Final = memoryview(b"")
_NO_WAIT: Final[int] = getattr(os, "RWF_NOWAIT", 0)  # Linux


@dataclass(frozen=True, slots=True)
class _Stamp:
    """What changes when anybody writes to a file, or puts another in its place."""

    inode: int
    size: int
    modified_ns: int
    changed_ns: int

    @classmethod
    def of(cls, descriptor: int) -> Self:
        found = os.fstat(descriptor)
        return cls(found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


class Payloads:
    """The directory of payload files."""

    def __init__(self, directory: Path) -> None:
        """Use ``directory``; it is made with the first file."""
        self.directory = directory
        self._vouched: dict[
            str, _Stamp
        ] = {}  # files this process wrote or hashed, and as they were
        self._unsynced: dict[str, bool] = {}  # True: the disk refused some of it
        self._lasting = set[str]()  # folders that a power cut would leave
        self._freeing = Freeing()
        self.leaving: Final = Leaving(self.is_unsynced)
        """Tells of files that are gone before they had to be durable."""

    def begin(self, object_id: ObjectId, size: int, *, durable: bool = True) -> "PayloadWriter":
        """Begin a file; it counts only once it is finished and a row names it.

        Args:
            object_id: what it will hold.
            size: in bytes.
            durable: when it is finished; else it is when ``sync`` is asked for it.
        """
        self._freeing.note_begun(size)
        return PayloadWriter(self, object_id, durable=durable)

    def create(self, name: str) -> int:
        """Make a file; return its descriptor."""
        path = self.directory / name
        if not path.parent.is_dir():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)

    def write(self, object_id: ObjectId, content: bytes, *, durable: bool = True) -> str:
        """Write a file; if it shall be durable, ``seal`` makes its name so."""
        writer = self.begin(object_id, len(content), durable=durable)
        try:
            writer.write(content)
            return writer.finish()
        except BaseException:
            writer.abandon()
            raise

    def note_unsynced(self, name: str) -> None:
        """Remember that a finished file is not durable."""
        self._unsynced[name] = False

    def is_unsynced(self, name: str) -> bool:
        """Tell whether a file is not durable, so that nobody was promised what it holds."""
        return name in self._unsynced

    def sync(self, names: Iterable[str] | None = None) -> None:
        """Make finished files durable that are not, with their names; None: all there are.

        Raises:
            StoreUnavailableError: the disk failed.
        """
        asked = list(self._unsynced) if names is None else [n for n in names if n in self._unsynced]
        synced = [name for name in asked if self._sync_one(name)]
        self.seal(synced)
        for name in asked:
            self._unsynced.pop(name, None)

    def _sync_one(self, name: str) -> bool:
        """Sync a file; False if it is gone.

        What a sync could not write the kernel forgets: the next would say that all is well.  So it
        is written again first.
        """
        with system_errors(str(self.directory)):
            try:
                descriptor = os.open(self.directory / name, os.O_RDWR)
            except FileNotFoundError:
                return False
            try:
                if self._unsynced.get(name):
                    _write_again(descriptor)
                self._unsynced[name] = True
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        return True

    def seal(self, names: list[str]) -> None:
        """Make the names of written files durable."""
        folders = {name[:2] for name in names}
        with system_errors(str(self.directory)):
            for folder in folders:
                _sync_directory(self.directory / folder)
            if not folders <= self._lasting:
                _sync_directory(self.directory)
                _sync_directory(self.directory.parent)
        self._lasting |= folders

    def open(self, name: str) -> "PayloadReader | None":
        """Open a file for reading, None if it is gone."""
        with system_errors(str(self.directory)):
            try:
                descriptor = os.open(self.directory / name, os.O_RDONLY)
            except FileNotFoundError:
                return None
            return PayloadReader(self, name, descriptor)

    def vouch(self, name: str, descriptor: int) -> None:
        """Remember that the open file has the right content as it is now."""
        self._vouched[name] = _Stamp.of(descriptor)

    def is_vouched(self, name: str, descriptor: int) -> bool:
        """Tell whether the open file had the right content, and nobody has touched it since."""
        return self._vouched.get(name) == _Stamp.of(descriptor)

    def remove(self, names: list[str]) -> None:
        """Remove files; one that resists is logged and left to the next sweep.

        Nobody finds them any more.  The space of large ones is free soon.
        """
        for name in names:
            stamp = self._vouched.pop(name, None)
            self._unsynced.pop(name, None)
            path = self.directory / name
            try:
                with self._freeing.later(path, 0 if stamp is None else stamp.size):
                    path.unlink(missing_ok=True)
            except OSError:
                logger.exception(
                    "Cannot remove a payload file",
                    extra={"event": "payload.remove", "path": name},
                )
            self.leaving.gone(name)

    def free_space(self) -> bool:
        """Free the space of removed files now; False when there is none."""
        return self._freeing.free_all()

    def close(self) -> None:
        """Wait until all space is free."""
        self._freeing.close()

    def names(self) -> Iterator[str]:
        """Yield the names of all files, unfinished ones included."""
        for path in self.directory.glob("??/*"):
            yield f"{path.parent.name}/{path.name}"

    def is_sound(self, name: str, object_id: ObjectId) -> bool:
        """Tell whether a file is what it was written to be, whatever a power cut took.

        Files that were durable before their rows are not looked at.
        """
        if not is_unsure(name):
            return True
        reader = self.open(name)
        if reader is None:
            return False
        with closing(reader):
            self.note_unsynced(name)
            return reader.has_hash(object_id)


class PayloadWriter:
    """One file on its way to disk, piece by piece.  Made by ``Payloads.begin``.

    It is made with its first piece, which tells where the content begins, and has its name from
    then on: what no row names does not count.  Renaming would cost a second commit of the file
    system's journal.
    """

    def __init__(self, payloads: Payloads, object_id: ObjectId, *, durable: bool) -> None:
        """Make nothing yet."""
        self._payloads, self._object_id, self._durable = payloads, object_id, durable
        self._name = ""
        self._lead = self._at = 0  # where the content begins, and what comes next
        self._descriptor: int | None = None

    def write(self, piece: bytes | memoryview) -> None:
        """Append a piece.

        Raises:
            StoreFullError: the disk is full.
        """
        with system_errors(str(self._payloads.directory)), memoryview(piece) as view:
            descriptor, left = self._begun(view), view
            while left:
                most = _WRITTEN_AT_ONCE - self._at % _WRITTEN_AT_ONCE
                try:
                    written = os.write(descriptor, left[:most])
                except OSError as error:
                    if error.errno not in DISK_FULL or not self._payloads.free_space():
                        raise
                else:
                    self._at += written
                    left = left[written:]

    def read(self, offset: int, size: int) -> bytes:
        """Return up to ``size`` bytes of what was written."""
        with system_errors(str(self._payloads.directory)):
            return os.pread(self._begun(), size, self._lead + offset)

    def finish(self) -> str:
        """Return the file's name, its content durable if it shall be; the caller has hashed it."""
        with system_errors(str(self._payloads.directory)):
            descriptor = self._begun()
            if self._durable:
                os.fsync(descriptor)
            else:
                self._payloads.note_unsynced(self._name)
            self._payloads.vouch(self._name, descriptor)
        self._close()
        return self._name

    def abandon(self) -> None:
        """Remove what was written, unless it is finished."""
        if self._descriptor is not None:
            self._close()
            (self._payloads.directory / self._name).unlink(missing_ok=True)

    def _begun(self, beginning: memoryview = _NOTHING) -> int:
        """Return the descriptor of the file, which is made if it is not there yet."""
        if self._descriptor is None:
            assert not self._name, "the file is finished"
            lead = lead_before(beginning)
            name = file_name(self._object_id, lead, durable=self._durable)
            self._descriptor = self._payloads.create(name)
            self._name, self._lead = name, lead
            self._at = os.lseek(self._descriptor, lead, os.SEEK_SET)
        return self._descriptor

    def _close(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class PayloadReader:
    """One open file; it can be read to its end even if it is removed meanwhile."""

    def __init__(self, payloads: Payloads, name: str, descriptor: int) -> None:
        """Take over ``descriptor``."""
        self._payloads, self._name = payloads, name
        self.descriptor: Final = descriptor
        self.lead: Final = lead_of(name)
        self.size = max(0, os.fstat(descriptor).st_size - self.lead)

    def has_hash(self, object_id: ObjectId, *, suspected: bool = False) -> bool:
        """Tell whether this is the content named ``object_id``.

        Args:
            object_id: the SHA-256 it must have.
            suspected: hash it even if nobody seems to have touched it.
        """
        if not suspected and self._payloads.is_vouched(self._name, self.descriptor):
            return True
        digest, offset = sha256(), 0
        while piece := self.read(offset, _HASHED_AT_ONCE):
            digest.update(piece)
            offset += len(piece)
        if digest.hexdigest() != object_id:
            return False
        self._payloads.vouch(self._name, self.descriptor)
        return True

    def read(self, offset: int, size: int) -> bytes:
        """Return up to ``size`` bytes from ``offset`` on; none at the end."""
        with system_errors(str(self._payloads.directory)):
            return os.pread(self.descriptor, size, self.lead + offset)

    def read_now(self, target: memoryview, offset: int) -> int:
        """Fill ``target`` with what the page cache has; 0: the disk has to be asked, or fails."""
        if not _NO_WAIT:
            return 0
        try:
            return os.preadv(self.descriptor, [target], self.lead + offset, _NO_WAIT)
        except OSError:  # not in the cache, or a file system that cannot tell
            return 0

    def close(self) -> None:
        """Close the file."""
        os.close(self.descriptor)


def _write_again(descriptor: int) -> None:
    offset = 0
    while piece := os.pread(descriptor, _HASHED_AT_ONCE, offset):
        offset += os.pwrite(descriptor, piece, offset)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
