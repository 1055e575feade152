import errno
import sqlite3
from types import SimpleNamespace

import pytest
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from flwr.core.errors import ConflictError, FlwrError
from flwr.store.errors import (
    StoreCorruptError,
    StoreFullError,
    StoreUnavailableError,
    StoreUnwritableError,
    driver_errors,
    system_errors,
)


def of_sqlite(name: str) -> DBAPIError:
    cause = sqlite3.OperationalError("what SQLite says")
    cause.sqlite_errorname = name
    return OperationalError("SELECT 1", {}, cause)


def of_postgres(state: str) -> DBAPIError:
    cause = Exception("what PostgreSQL says")
    cause.sqlstate = state  # type: ignore[attr-defined]
    return OperationalError("SELECT 1", {}, cause)


@pytest.mark.row("F10", "F11")
@pytest.mark.parametrize(
    ("cause", "ours"),
    [
        (of_sqlite("SQLITE_CORRUPT"), StoreCorruptError),
        (of_sqlite("SQLITE_CORRUPT_INDEX"), StoreCorruptError),
        (of_sqlite("SQLITE_NOTADB"), StoreCorruptError),
        (of_sqlite("SQLITE_FULL"), StoreFullError),
        (of_sqlite("SQLITE_READONLY"), StoreUnwritableError),
        (of_sqlite("SQLITE_CANTOPEN"), StoreUnwritableError),
        (of_sqlite("SQLITE_BUSY"), StoreUnavailableError),
        (of_sqlite("SQLITE_IOERR_READ"), StoreUnavailableError),
        (of_postgres("53100"), StoreFullError),
        (of_postgres("40001"), ConflictError),
        (of_postgres("40P01"), ConflictError),
        (of_postgres("57P01"), StoreUnavailableError),
    ],
)
def test_errors_of_the_driver_become_ours(cause: DBAPIError, ours: type[FlwrError]) -> None:
    with pytest.raises(ours) as caught, driver_errors("/nowhere/x.db"):
        raise cause
    assert type(caught.value) is ours
    assert caught.value.hint


def test_an_io_error_for_want_of_space_is_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    full = SimpleNamespace(f_bavail=1, f_frsize=4096)
    monkeypatch.setattr("flwr.store.errors.os.statvfs", lambda _: full)
    with pytest.raises(StoreFullError), driver_errors("/nowhere/x.db"):
        raise of_sqlite("SQLITE_IOERR_SHMSIZE")


def test_what_points_at_a_bug_of_ours_passes_untranslated() -> None:
    bug = IntegrityError("INSERT", {}, sqlite3.IntegrityError("NOT NULL constraint failed"))
    with pytest.raises(IntegrityError), driver_errors("x"):
        raise bug
    with pytest.raises(KeyError), driver_errors("x"), system_errors("x"):
        raise KeyError


@pytest.mark.parametrize(
    ("number", "ours"),
    [
        (errno.ENOSPC, StoreFullError),
        (errno.EDQUOT, StoreFullError),
        (errno.EACCES, StoreUnwritableError),
        (errno.EROFS, StoreUnwritableError),
        (errno.EIO, StoreUnavailableError),
    ],
)
def test_errors_of_the_system_become_ours(number: int, ours: type[FlwrError]) -> None:
    with pytest.raises(ours), system_errors("/state/link.db"):
        raise OSError(number, "what the system says")
