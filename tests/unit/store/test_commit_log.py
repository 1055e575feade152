"""What is durable when, who hears of it when, and how often the disk is waited for."""

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest
from sqlalchemy import create_engine

from flwr.store import folding
from flwr.store.commit_log import WriteAheadLog
from flwr.store.durability import Durability
from flwr.store.errors import StoreUnavailableError
from flwr.store.store import Store
from tests.fakes.power import Disk, disk
from tests.fakes.statements import counted

_UNUSED: Final = create_engine("sqlite://")


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Disk]:
    with disk(tmp_path / "some.db") as made:
        yield made


def write(store: Store, key: str, durability: Durability = Durability.TOLD) -> None:
    with store.transaction(durability) as tx:
        tx.meta.set(key, "written")
        tx.notify(key)


def has(store: Store, key: str) -> bool:
    with store.reading() as tx:
        return tx.meta.get(key) is not None


@pytest.mark.row("F8")
@pytest.mark.parametrize("durability", [Durability.TOLD, Durability.ANSWERED])
def test_what_was_waited_for_survives_a_power_cut_with_all_before_it(
    files: Disk, durability: Durability
) -> None:
    write(files.store, "early", Durability.LATER)
    with counted(files.store) as asked:
        write(files.store, "waited for", durability)
        write(files.store, "late", Durability.LATER)
    assert (asked.commits, asked.syncs) == (2, 1)
    assert has(files.store, "late"), "kill -9 takes nothing"
    after = files.cut_power()
    assert [has(after, key) for key in ("early", "waited for", "late")] == [True, True, False]


def test_settling_makes_durable_what_was_left_for_later_and_only_once(files: Disk) -> None:
    write(files.store, "late", Durability.LATER)
    with counted(files.store) as asked:
        files.store.settle()
        files.store.settle()
    assert asked.syncs == 1
    assert has(files.cut_power(), "late")


def test_who_waits_hears_of_it_when_that_was_asked_for(
    files: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []
    sync = os.fdatasync

    def note(descriptor: int) -> None:
        sync(descriptor)
        heard.append("durable")

    monkeypatch.setattr(os, "fdatasync", note)
    files.store.subscribe(heard.extend)
    files.store.subscribe_memory(lambda topics: heard.extend(f"forget {one}" for one in topics))
    write(files.store, "told", Durability.TOLD)
    assert heard == ["forget told", "durable", "told"]
    heard.clear()
    write(files.store, "answered", Durability.ANSWERED)
    assert heard == ["forget answered", "answered", "durable"]
    heard.clear()
    write(files.store, "later", Durability.LATER)
    assert heard == ["forget later", "later"]


def test_an_operation_may_leave_the_waiting_to_its_caller(files: Disk) -> None:
    heard: list[str] = []
    files.store.subscribe(heard.extend)
    result, commit = files.store.postponed(write, files.store, "postponed")
    assert result is None
    assert not heard, "nobody hears of what is not durable"
    assert not files.store.is_settled(commit)
    files.store.settle()
    assert heard == ["postponed"]
    assert files.store.is_settled(commit)
    assert files.store.postponed(has, files.store, "postponed") == (True, 0), "it wrote nothing"
    write(files.store, "as ever")
    assert heard == ["postponed", "as ever"]


def test_an_operation_that_fails_after_a_commit_owes_nobody_anything(files: Disk) -> None:
    heard: list[str] = []
    files.store.subscribe(heard.extend)

    def fail() -> None:
        write(files.store, "committed")
        raise LookupError

    with pytest.raises(LookupError):
        files.store.postponed(fail)
    assert heard == ["committed"]
    assert has(files.cut_power(), "committed")


def test_commits_that_come_together_wait_for_the_disk_together(
    files: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_syncing, may_sync = threading.Event(), threading.Event()
    sync = os.fdatasync

    def hold(descriptor: int) -> None:
        is_syncing.set()
        assert may_sync.wait(60)
        sync(descriptor)

    monkeypatch.setattr(os, "fdatasync", hold)
    with counted(files.store) as asked, ThreadPoolExecutor(9) as threads:
        first = threads.submit(write, files.store, "first")
        assert is_syncing.wait(60)
        others = [threads.submit(write, files.store, str(number)) for number in range(8)]
        while asked.commits < 9:  # they write while the disk is waited for
            threading.Event().wait(0.001)
        may_sync.set()
        for one in (first, *others):
            one.result(timeout=60)
    assert asked.syncs == 2
    after = files.cut_power()
    assert all(has(after, str(number)) for number in range(8))


def test_a_disk_that_fails_is_told_to_the_writer_and_does_not_silence_others(
    files: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []
    files.store.subscribe(heard.extend)

    def fail(_descriptor: int) -> None:
        raise OSError(5, os.strerror(5))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fdatasync", fail)
        with pytest.raises(StoreUnavailableError):
            write(files.store, "lost?")
    assert heard == ["lost?"], "it was committed: whoever waits sees it"
    log = files.path.with_name("some.db-wal")
    before = log.stat().st_size
    write(files.store, "again")
    assert log.stat().st_size < before, "the kernel may have forgotten what it could not write"
    after = files.cut_power()
    assert has(after, "lost?")
    assert has(after, "again")


def test_a_log_that_was_made_anew_is_the_one_that_is_synced(tmp_path: Path) -> None:
    path = tmp_path / "some.db"
    log = WriteAheadLog(path, _UNUSED)
    log.sync(log.note_commit())  # there is none: all of it is in the database
    file = tmp_path / "some.db-wal"
    for name in ("one", "two"):
        file.rename(tmp_path / "old") if file.exists() else None
        file.write_text(name)
        log.sync(log.note_commit())
        assert log._descriptor is not None
        assert os.fstat(log._descriptor).st_ino == file.stat().st_ino
    log.close()


def test_a_log_is_quick_as_long_as_its_disk_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    log = WriteAheadLog(tmp_path / "some.db", _UNUSED)
    assert log.is_quick
    clock = iter(range(100))
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    log.sync(log.note_commit())
    assert not log.is_quick, "it took a second"


def test_the_log_is_moved_to_the_database_beside_those_who_write(files: Disk) -> None:
    kept = files.store._log
    assert isinstance(kept, WriteAheadLog)
    for number in range(8 * folding.COMMITS):
        write(files.store, f"key {number}", Durability.LATER)
        if (under_way := kept._folding._under_way) is not None:
            under_way.result(timeout=60)
    size = files.path.with_name("some.db-wal").stat().st_size
    assert size < 4 * folding.COMMITS * 4096, "it is written from its begin again"
    with sqlite3.connect(f"file:{files.path}?immutable=1", uri=True) as alone:  # without its log
        (found,) = alone.execute("SELECT count(*) FROM meta WHERE key LIKE 'key %'").fetchone()
    assert found >= folding.COMMITS


def test_a_log_that_cannot_be_moved_now_is_moved_later(
    files: Disk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("no")

    with monkeypatch.context() as patch:
        patch.setattr(folding, "fold_in", fail)
        for number in range(folding.COMMITS):
            write(files.store, str(number), Durability.LATER)
        files.store._log.close()
    assert "Cannot move the log" in caplog.text
    write(files.store, "and on")
