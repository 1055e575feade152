"""What can go wrong with the durable state, each with its remedy; the driver's errors made ours."""

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NoReturn

from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

from flwr.core.errors import (
    ConflictError,
    ErrorKind,
    FailedPreconditionError,
    FlwrError,
    UnavailableError,
)

_RESTORE: Final = (
    "stop the program, keep the damaged files for analysis, and restore the database with its "
    "objects directory from a backup; or move both away to start empty"
)
_SMALL_TRANSACTION_BYTES: Final = 1_048_576
DISK_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_NOT_ALLOWED: Final = frozenset(
    {
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.ENOENT,
        errno.EEXIST,
    },
)


_WHO: Final = (
    "check user and password in the database URL; characters such as @ : / in a password are "
    "written %40 %3A %2F"
)
_NO_DATABASE: Final = "create the database, or name another one in the database URL"
_NO_HOST: Final = "check the host in the database URL, and that its name is known here"
_NOT_UP: Final = "check that the database server runs, and host and port in the database URL"
_REMEDIES: Final = {  # by SQLSTATE
    "28000": _WHO,
    "28P01": _WHO,
    "3D000": _NO_DATABASE,
    "42501": "grant the database's user the rights to create and use tables in its schema",
    "53300": "raise the server's max_connections, or let fewer programs use it",
}
_WORDS: Final = {  # libpq's, before there is a session
    "authentication failed": _WHO,
    "no password supplied": _WHO,
    "role ": _WHO,
    "no pg_hba.conf entry": "allow this machine in the server's pg_hba.conf",
    "does not exist": _NO_DATABASE,
    "too many clients": _REMEDIES["53300"],
    "remaining connection slots": _REMEDIES["53300"],
    "could not translate host name": _NO_HOST,
    "failed to resolve host": _NO_HOST,
    "Connection refused": _NOT_UP,
    "timeout": _NOT_UP,
}


class StoreCorruptError(FailedPreconditionError):
    """The database is damaged; nothing was changed and nothing is started empty in its place."""

    def __init__(self, where: str, why: str) -> None:
        """Name the database and what is wrong with it."""
        super().__init__(f"the database {where} is damaged: {why}", hint=_RESTORE)
        self.where, self.why = where, why


class StoreNewerSchemaError(FailedPreconditionError):
    """A newer version wrote the database."""

    def __init__(self, where: str, found: str, known: str) -> None:
        """Name both schema revisions."""
        super().__init__(
            f"the database {where} has schema {found}, this version knows up to {known}",
            hint="start the version that wrote it, or restore a backup made before the upgrade",
        )
        self.where, self.found, self.known = where, found, known


class StoreUnwritableError(FailedPreconditionError):
    """The place of the database, or of the objects beside it, cannot be written."""

    def __init__(self, where: str, why: str) -> None:
        """Name the place and the system's reason."""
        super().__init__(
            f"cannot write {where}: {why}",
            hint="give the user this program runs as write permission for the directory, "
            "or name another place",
        )
        self.where = where


class StoreFullError(UnavailableError):
    """The disk is full; the transaction left no trace."""

    def __init__(self, where: str) -> None:
        """Name the place that ran out of space."""
        super().__init__(
            f"no space left on the storage of {where}; nothing was stored",
            hint="free space on that file system; work resumes by itself",
        )
        self.where = where


class StoreUnavailableError(UnavailableError):
    """The database does not answer now."""

    def __init__(self, where: str, why: str) -> None:
        """Name the database and the driver's reason."""
        super().__init__(
            f"the database {where} is not available: {why}",
            hint="check that the database runs and that its storage is healthy",
        )
        self.where = where


class DatabaseRefusedError(StoreUnavailableError):
    """The database server answers, and refuses us or does not have what we ask for.

    It counts as unavailable: peers wait until an operator has put it right.
    """

    def __init__(self, where: str, why: str, remedy: str) -> None:
        """Name the database, the server's words, and what helps."""
        super().__init__(where, why)
        self.hint = remedy


class ObjectDamagedError(FlwrError):
    """Stored content is gone or no longer has the hash it is named by."""

    kind = ErrorKind.FAILED_PRECONDITION

    def __init__(self, object_id: str, why: str) -> None:
        """Name the object."""
        super().__init__(
            f"the stored content of object {object_id} is lost: {why}",
            hint="the sender must transfer it again",
        )
        self.object_id = object_id


class EventChainError(FlwrError):
    """The event log was altered."""

    def __init__(self, seq: int, why: str) -> None:
        """Name the first event that does not follow from the one before."""
        super().__init__(
            f"the event log is broken at event {seq}: {why}",
            hint="compare the log with a backup; somebody or something changed it",
        )
        self.seq = seq


class NestedTransactionError(FlwrError):
    """A transaction was opened inside another one of the same thread: a bug of ours."""

    def __init__(self) -> None:
        """Say how to repair the caller."""
        super().__init__(
            "a store transaction was opened inside another one in the same thread; "
            "pass the open one on instead",
        )


class DowngradeRefusedError(FailedPreconditionError):
    """Somebody tried to take a migration back."""

    def __init__(self, revision: str) -> None:
        """Name the migration."""
        super().__init__(
            f"schema {revision} cannot be taken back without losing data",
            hint="restore a backup made before the upgrade",
        )
        self.revision = revision


@contextmanager
def driver_errors(where: str) -> Iterator[None]:
    """Turn errors of the database driver into ours.

    Raises:
        FlwrError: the translation; anything else passes.
    """
    try:
        yield
    except DBAPIError as cause:
        raise_translated(where, cause)


def raise_translated(where: str, cause: DBAPIError) -> NoReturn:
    """Raise our error for one of the database driver, or that one where we have no word for it."""
    ours = _of_driver(where, cause)
    if ours is None:
        raise cause
    raise ours from cause


@contextmanager
def system_errors(where: str) -> Iterator[None]:
    """Turn errors of the file system into ours.

    Raises:
        FlwrError: the translation; anything else passes.
    """
    try:
        yield
    except OSError as cause:
        raise _of_system(where, cause) from cause


def _of_system(where: str, cause: OSError) -> FlwrError:
    if cause.errno in DISK_FULL:
        return StoreFullError(where)
    if cause.errno in _NOT_ALLOWED:
        return StoreUnwritableError(where, cause.strerror or str(cause))
    return StoreUnavailableError(where, cause.strerror or str(cause))


def _of_driver(where: str, cause: DBAPIError) -> FlwrError | None:
    original = cause.orig
    if isinstance(original, sqlite3.Error):
        return _of_sqlite(where, original)
    state = getattr(original, "sqlstate", None)
    if state in {"53100", "53200"}:  # disk full, out of memory
        return StoreFullError(where)
    if state in {"40001", "40P01"}:  # serialization failure, deadlock
        return ConflictError("another writer was faster", hint="try again")
    if state in _REMEDIES:
        return DatabaseRefusedError(where, _first_line(original), _REMEDIES[state])
    if isinstance(cause, (OperationalError, InterfaceError)) or cause.connection_invalidated:
        return _of_connection(where, _first_line(original))
    return None


def _of_connection(where: str, why: str) -> FlwrError:
    """Tell by its words what is wrong with a connection that never was: it carries no state."""
    for words, remedy in _WORDS.items():
        if words in why:
            return DatabaseRefusedError(where, why, remedy)
    return StoreUnavailableError(where, why)


def _first_line(error: BaseException | None) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _of_sqlite(where: str, cause: sqlite3.Error) -> FlwrError | None:
    name = getattr(cause, "sqlite_errorname", "")
    text = str(cause)
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return StoreCorruptError(where, text)
    if name == "SQLITE_FULL" or (name.startswith("SQLITE_IOERR") and _has_no_space(where)):
        return StoreFullError(where)
    if name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        return StoreUnwritableError(where, text)
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_IOERR")):
        return StoreUnavailableError(where, text)
    return None


def _has_no_space(where: str) -> bool:
    try:
        room = os.statvfs(Path(where).parent)
    except OSError:
        return False
    return room.f_bavail * room.f_frsize < _SMALL_TRANSACTION_BYTES
