"""Large content that was promised to nobody yet: not waited for, and looked at after a start."""

import errno
import os
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import pytest

from flwr.core.errors import UnavailableError
from flwr.core.ids import MessageId, ObjectId, RunId
from flwr.core.message import ObjectTree
from flwr.store.durability import Durability
from flwr.store.errors import StoreFullError
from flwr.store.freeing import Freeing
from flwr.store.objects import ObjectState
from flwr.store.payloads import Payloads
from flwr.store.store import Store, open_store

LARGE = b"x" * 100_000
ID = ObjectId(sha256(LARGE).hexdigest())
RUN, OWNER = RunId(1), MessageId("m" * 64)


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    real, names = os.fsync, list[str]()

    def sync(descriptor: int) -> None:
        names.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", sync)
    return names


def keep(store: Store, *, durable: bool) -> str:
    """Store a large object; return its file."""
    with store.transaction() as tx:
        tx.objects.preregister(RUN, OWNER, ObjectTree(ID))
    arriving = store.begin_object(ID, len(LARGE), durable=durable)
    arriving.write(LARGE)
    arrived = arriving.finish()
    with store.keeping([arrived], Durability.LATER) as tx:
        assert tx.objects.take(arrived)
    assert arrived.file is not None
    return arrived.file


def state(store: Store) -> ObjectState:
    with store.reading() as tx:
        return tx.objects.state(ID)


def files(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "store.db.objects").glob("??/*"))


def test_a_full_disk_has_the_space_of_removed_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    removed, write = bytes(2_000_000), os.write
    refusals: list[int] = []

    def full_once(descriptor: int, data: bytes) -> int:
        if not refusals:
            refusals.append(descriptor)
            raise OSError(errno.ENOSPC, "full")
        return write(descriptor, data)

    monkeypatch.setattr(Freeing, "_wake", lambda _: None)  # its thread has other things to do
    with closing(Payloads(tmp_path)) as payloads:
        payloads.remove([payloads.write(ObjectId("a" * 64), removed, durable=False)])
        monkeypatch.setattr(os, "write", full_once)
        name = payloads.write(ID, LARGE, durable=False)
        assert refusals
        reader = payloads.open(name)
        assert reader is not None
        with closing(reader):
            assert reader.read(0, reader.size) == LARGE
        assert not payloads.free_space()
        refusals.clear()
        with pytest.raises(StoreFullError):
            payloads.write(ID, LARGE, durable=False)


def of_files(synced: list[str]) -> list[str]:
    return [name for name in synced if name.startswith(ID)]


def test_content_is_synced_when_it_is_promised_and_then_once(
    tmp_path: Path, synced: list[str]
) -> None:
    with closing(open_store(str(tmp_path / "store.db"))) as store:
        arrived = keep(store, durable=False)
        assert not of_files(synced)
        for _ in range(2):
            store.settle_objects([arrived])
            assert len(of_files(synced)) == 1
        store.settle_objects()
        assert len(of_files(synced)) == 1


def test_a_folder_is_waited_for_when_something_in_it_is_promised(
    tmp_path: Path, synced: list[str]
) -> None:
    path = tmp_path / "store.db"
    with closing(open_store(str(path))) as store:
        arrived = keep(store, durable=False)
        assert not {ID[:2], "store.db.objects"} & set(synced)
        synced.clear()
        store.settle_objects([arrived])
        content, *above = synced
        assert content.startswith(ID)
        assert above == [ID[:2], "store.db.objects", tmp_path.name]
    with closing(open_store(str(path))) as store:  # who knows what its former process waited for
        with store.transaction() as tx:
            tx.objects.release(OWNER)
        synced.clear()
        keep(store, durable=True)
        assert synced[-3:] == [ID[:2], "store.db.objects", tmp_path.name]


def test_content_that_is_gone_again_is_never_waited_for(tmp_path: Path, synced: list[str]) -> None:
    with closing(open_store(str(tmp_path / "store.db"))) as store:
        arrived = keep(store, durable=False)
        with store.transaction() as tx:
            tx.objects.release(OWNER)
        store.settle_objects([arrived])
        assert not of_files(synced)
        assert not files(tmp_path)


def test_what_a_sync_could_not_write_is_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, failures, written = os.pwrite, [OSError(errno.EIO, "the disk failed")], list[int]()

    def sync(_descriptor: int) -> None:
        if failures:
            raise failures.pop()

    def write(descriptor: int, data: bytes, offset: int) -> int:
        written.append(len(data))
        return real(descriptor, data, offset)

    with closing(open_store(str(tmp_path / "store.db"))) as store:
        arrived = keep(store, durable=False)
        monkeypatch.setattr(os, "fsync", sync)
        monkeypatch.setattr(os, "pwrite", write)
        with pytest.raises(UnavailableError):
            store.settle_objects([arrived])
        assert not written
        store.settle_objects([arrived])
        assert sum(written) == len(LARGE)
        store.settle_objects([arrived])
        assert sum(written) == len(LARGE)
        with store.reading() as tx:
            assert tx.objects.get(ID) == LARGE


@pytest.mark.row("F8")
@pytest.mark.parametrize("damage", ["cut off", "gone", "zeros"])
def test_what_a_power_cut_took_is_awaited_again(tmp_path: Path, damage: str) -> None:
    with closing(open_store(str(tmp_path / "store.db"))) as store:
        keep(store, durable=False)
    (file,) = files(tmp_path)
    if damage == "gone":
        file.unlink()
    else:
        file.write_bytes(LARGE[:4096] if damage == "cut off" else bytes(len(LARGE)))

    with closing(open_store(str(tmp_path / "store.db"))) as store:
        assert state(store) is ObjectState.AWAITED
        keep(store, durable=False)
        assert state(store) is ObjectState.PRESENT


def test_what_an_earlier_process_left_unsynced_is_synced_before_it_is_promised(
    tmp_path: Path, synced: list[str]
) -> None:
    with closing(open_store(str(tmp_path / "store.db"))) as store:
        keep(store, durable=False)
    with closing(open_store(str(tmp_path / "store.db"))) as store:
        assert state(store) is ObjectState.PRESENT
        assert not of_files(synced)
        store.settle_objects()
        assert len(of_files(synced)) == 1


def test_durable_content_is_not_hashed_at_a_start(tmp_path: Path) -> None:
    with closing(open_store(str(tmp_path / "store.db"))) as store:
        keep(store, durable=True)
    (file,) = files(tmp_path)
    file.write_bytes(bytes(len(LARGE)))

    with closing(open_store(str(tmp_path / "store.db"))) as store:
        assert state(store) is ObjectState.PRESENT, "found when it is read, as ever"
