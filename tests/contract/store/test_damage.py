"""F10 and F11: what is wrong with the files beneath an SQLite store is said, never papered over."""

import errno
import gc
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from flwr.core.errors import FlwrError, InvalidError
from flwr.store.errors import (
    StoreCorruptError,
    StoreFullError,
    StoreNewerSchemaError,
    StoreUnwritableError,
)
from flwr.store.store import Store, open_store
from tests import given

LARGE = b"l" * 200_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A closed store with some content."""
    path = tmp_path / "state" / "link.db"
    store = open_store(str(path))
    with store.transaction() as tx:
        for n in range(200):
            tx.meta.set(f"key {n}", "value" * 100)
    store.close()
    return path


def refusal(path: Path) -> FlwrError:
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(FlwrError) as caught:
        open_store(str(path))
    assert str(path) in caught.value.message
    assert caught.value.hint
    if before is not None:
        assert path.read_bytes() == before  # nothing was "repaired"
    return caught.value


@pytest.mark.row("F11")
def test_an_empty_file_is_refused(path: Path) -> None:
    path.write_bytes(b"")
    error = refusal(path)
    assert isinstance(error, StoreCorruptError)
    assert "backup" in error.hint


@pytest.mark.row("F11")
def test_a_file_of_another_kind_is_refused(path: Path) -> None:
    path.write_bytes(b"not a database, but long enough to be one" * 100)
    assert isinstance(refusal(path), StoreCorruptError)


@pytest.mark.row("F11")
@pytest.mark.parametrize("kept", [50, 0.5, 0.9], ids=["header", "half", "most"])
def test_a_truncated_file_is_refused(path: Path, kept: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(kept if kept > 1 else kept * len(content))])
    assert isinstance(refusal(path), StoreCorruptError)


@pytest.mark.row("F11")
def test_flipped_bits_in_a_page_are_refused(path: Path) -> None:
    content = bytearray(path.read_bytes())
    for page in range(1, len(content) // 4096):
        content[page * 4096] ^= 0xFF  # the kind of every page but the first
    path.write_bytes(content)
    assert isinstance(refusal(path), StoreCorruptError)


@pytest.mark.row("F11", "F42")
def test_a_newer_schema_is_refused(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    error = refusal(path)
    assert isinstance(error, StoreNewerSchemaError)
    assert "9999" in error.message


@pytest.mark.row("F11")
def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE browser_history (url TEXT)")
    connection.close()
    assert isinstance(refusal(path), StoreCorruptError)


@pytest.mark.row("F11")
def test_a_database_that_vanished_is_not_replaced_by_an_empty_one(path: Path) -> None:
    store = open_store(str(path))
    with store.transaction() as tx:
        message = given.instruction()
        tx.objects.preregister(message.run_id, message.message_id, given.tree(message, LARGE))
        tx.objects.put(given.object_id(LARGE), LARGE)
    store.close()
    path.unlink()
    error = refusal(path)
    assert isinstance(error, StoreCorruptError)
    assert not path.exists()


@pytest.mark.row("F6")
def test_a_store_whose_creation_was_cut_short_is_created_again(tmp_path: Path) -> None:
    path = tmp_path / "link.db"
    for leftover in ("link.db.new", "link.db.new-wal"):
        (tmp_path / leftover).write_bytes(b"half")
    store = open_store(str(path))
    with store.transaction() as tx:
        tx.meta.set("a", "1")
    store.close()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link.db", "link.db.lock"]


def test_an_impossible_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file" / "link.db", tmp_path):
        with pytest.raises(StoreUnwritableError) as caught:
            open_store(str(path))
        assert str(path) in caught.value.message


def test_where_objects_beside_postgres_cannot_lie_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreUnwritableError) as caught:  # before anybody is asked on port 1
        open_store("postgresql://127.0.0.1:1/flwr", payload_dir=tmp_path / "file" / "objects")
    assert str(tmp_path) in caught.value.message
    assert "postgresql" not in caught.value.message


def test_a_directory_without_write_permission_is_refused(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    with pytest.raises(StoreUnwritableError):
        open_store(str(closed / "link.db"))


@pytest.mark.parametrize("url", ["mysql://host/db", "sqlite:///x.db?mode=ro", "://", "sqlite://"])
def test_an_unknown_kind_of_database_is_refused(url: str) -> None:
    with pytest.raises(InvalidError):
        open_store(url)


def test_postgres_needs_a_payload_directory() -> None:
    with pytest.raises(InvalidError):
        open_store("postgresql://nowhere.invalid/x")


def test_files_are_private(path: Path) -> None:
    assert path.stat().st_mode & 0o077 == 0
    assert path.parent.stat().st_mode & 0o077 == 0


def fill(store: Store) -> int:
    """Store rows until the disk is full; return how many were acknowledged."""
    for n in range(100_000):
        try:
            with store.transaction() as tx:
                tx.meta.set(f"fill {n}", "x" * 10_000)
        except StoreFullError:
            return n
    raise AssertionError("the disk never filled up")


@pytest.mark.row("F10")
def test_a_full_database_says_so_keeps_what_it_acknowledged_and_recovers(path: Path) -> None:
    store = open_store(str(path))
    with store.transaction() as tx:  # the limit holds for this connection, the pool's only one
        tx.meta._connection.exec_driver_sql("PRAGMA max_page_count = 200")
    stored = fill(store)
    assert stored > 10
    with store.reading() as tx:
        assert tx.meta.get(f"fill {stored - 1}") is not None
        assert tx.meta.get(f"fill {stored}") is None
    with store.transaction() as tx:
        tx.meta._connection.exec_driver_sql("PRAGMA max_page_count = 100000")
    with store.transaction() as tx:
        tx.meta.set("again", "works")
    store.close()


@pytest.mark.row("F10")
def test_no_space_for_a_payload_leaves_neither_file_nor_row(
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    store = open_store(str(path))
    message = given.instruction()
    with store.transaction() as tx:
        tx.objects.preregister(message.run_id, message.message_id, given.tree(message, LARGE))

    def fail(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("flwr.store.payloads.os.fsync", fail)
        with pytest.raises(StoreFullError):
            store.put_object(given.object_id(LARGE), LARGE)
        with pytest.raises(StoreFullError), store.transaction() as tx:
            tx.objects.put(given.object_id(LARGE), LARGE)
    assert list(path.parent.rglob("*.objects/*/*")) == []
    assert store.put_object(given.object_id(LARGE), LARGE)
    store.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    if os.geteuid() != 0 or subprocess.run(mounting, check=False, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small tmpfs")
    yield disk
    gc.collect()  # failures hold their statements in a cycle, and these the closed database
    subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.row("F10")
def test_a_store_on_a_full_disk_says_so_and_recovers_when_space_is_freed(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    store = open_store(str(small_disk / "link.db"))
    ballast.write_bytes(b"x" * 500_000)
    message = given.instruction()
    with store.transaction() as tx:
        tx.objects.preregister(message.run_id, message.message_id, given.tree(message, LARGE))
    stored = fill(store)
    with pytest.raises(StoreFullError):
        store.put_object(given.object_id(LARGE), LARGE)
    with store.reading() as tx:
        assert tx.meta.get(f"fill {stored - 1}") is not None
    ballast.unlink()
    assert store.put_object(given.object_id(LARGE), LARGE)
    store.close()
    again = open_store(str(small_disk / "link.db"))  # the checks at opening find nothing wrong
    with again.reading() as tx:
        assert tx.objects.get(given.object_id(LARGE)) == LARGE
    again.close()
