"""Objects that arrive and leave in pieces: hashed as they come, and not again while untouched."""

import errno
import os
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256 as real_sha256
from pathlib import Path
from threading import Event
from typing import Any

import pytest

from flwr.core import limits
from flwr.core.errors import InvalidError
from flwr.core.ids import ObjectId
from flwr.store.errors import ObjectDamagedError, StoreFullError
from flwr.store.incoming import _HASHED_ASIDE, IncomingObject, WrongContentError
from flwr.store.objects import ObjectState
from flwr.store.store import Store
from tests import given
from tests.contract.store.test_objects import announce, files

CONTENT = bytes(range(256)) * 1024
PIECE = 10_000
ID = ObjectId(given.object_id(CONTENT))


class Hashed:
    """Counts the bytes that are hashed."""

    def __init__(self) -> None:
        self.bytes = 0

    def __call__(self, content: bytes = b"") -> Any:
        counter, digest = self, real_sha256()

        class Digest:
            def update(self, piece: bytes) -> None:
                counter.bytes += len(piece)
                digest.update(piece)

            def hexdigest(self) -> str:
                return digest.hexdigest()

        made = Digest()
        made.update(content)
        return made


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> Hashed:
    counter = Hashed()
    monkeypatch.setattr("flwr.store.incoming.sha256", counter)
    monkeypatch.setattr("flwr.store.payloads.sha256", counter)
    return counter


def written(store: Store, content: bytes = CONTENT, object_id: ObjectId = ID) -> IncomingObject:
    arriving = store.begin_object(object_id, len(content))
    for start in range(0, len(content), PIECE):
        arriving.write(memoryview(content)[start : start + PIECE])
    return arriving


def stored(store: Store) -> None:
    with store.transaction() as tx:
        announce(tx, CONTENT)
    arrived = written(store).finish()
    with store.keeping([arrived]) as tx:
        assert tx.objects.take(arrived)


def read_all(store: Store, *, suspected: bool = False) -> bytes:
    with store.reading() as tx:
        opened = tx.objects.open(ID, suspected=suspected)
    assert opened is not None
    with closing(opened):
        starts = range(0, opened.size, PIECE)
        return b"".join(opened.read(start, PIECE) for start in starts)


def test_pieces_become_the_object(store: Store) -> None:
    stored(store)
    assert read_all(store) == CONTENT
    with store.reading() as tx:
        assert tx.objects.get(ID) == CONTENT


def test_a_piece_may_change_once_it_is_written(store: Store) -> None:
    content = os.urandom(3 * _HASHED_ASIDE)
    arriving = store.begin_object(ObjectId(given.object_id(content)), len(content))
    piece = bytearray(_HASHED_ASIDE)
    for start in range(0, len(content), len(piece)):
        piece[:] = content[start : start + len(piece)]
        arriving.write(memoryview(piece))
        piece[:] = bytes(len(piece))
    assert arriving.finish().size == len(content)


def test_a_failed_write_waits_until_its_piece_is_hashed(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    arriving, ended = store.begin_object(ID, _HASHED_ASIDE), Event()

    class Late:
        """Hashes when it is waited for, and not before."""

        def submit(self, update: Callable[[bytes], None], piece: bytes) -> "Late":
            self.update, self.piece = update, piece
            return self

        def result(self) -> None:
            self.update(self.piece)
            ended.set()

    def full(_: int, __: bytes) -> int:
        assert not ended.is_set()
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr("flwr.store.incoming._THREADS", Late())
    monkeypatch.setattr("flwr.store.payloads.os.write", full)
    with pytest.raises(StoreFullError):
        arriving.write(bytes(_HASHED_ASIDE))
    assert ended.is_set()
    arriving.abandon()


def test_a_small_object_needs_no_file(store: Store, payload_dir: Path) -> None:
    small = b"s" * limits.INLINE_OBJECT_BYTES
    with store.transaction() as tx:
        announce(tx, small)
    arrived = written(store, small, given.object_id(small)).finish()
    with store.keeping([arrived]) as tx:
        assert tx.objects.take(arrived)
        assert tx.objects.get(arrived.object_id) == small
    assert files(payload_dir) == []


def test_a_payload_is_hashed_once_however_often_it_is_read(store: Store, hashed: Hashed) -> None:
    stored(store)
    for _ in range(3):
        assert read_all(store) == CONTENT
    assert hashed.bytes == len(CONTENT)


def test_a_suspected_object_is_hashed_again(store: Store, hashed: Hashed) -> None:
    stored(store)
    assert read_all(store, suspected=True) == CONTENT
    assert hashed.bytes == 2 * len(CONTENT)


def test_an_altered_file_is_noticed_before_it_is_read(store: Store, payload_dir: Path) -> None:
    stored(store)
    (file,) = files(payload_dir)
    with file.open("r+b") as opened:
        opened.seek(-1, os.SEEK_END)
        opened.write(b"!")
    with store.reading() as tx, pytest.raises(ObjectDamagedError, match="altered"):
        tx.objects.open(ID)


def test_bytes_that_rotted_unseen_are_found_when_suspected(store: Store, payload_dir: Path) -> None:
    stored(store)
    (file,) = files(payload_dir)
    with file.open("r+b") as opened:
        opened.seek(-1, os.SEEK_END)
        opened.write(b"!")
    store._payloads._vouched = {name: _stamp(file) for name in store._payloads._vouched}
    assert read_all(store) != CONTENT
    with store.reading() as tx, pytest.raises(ObjectDamagedError, match="altered"):
        tx.objects.open(ID, suspected=True)


def test_what_has_another_id_is_dropped(store: Store, payload_dir: Path) -> None:
    arriving = written(store, CONTENT[:-1] + b"!")
    with pytest.raises(WrongContentError):
        arriving.finish()
    assert files(payload_dir) == []


def test_an_incomplete_object_is_no_object(store: Store, payload_dir: Path) -> None:
    arriving = store.begin_object(ID, len(CONTENT))
    arriving.write(CONTENT[:PIECE])
    with pytest.raises(WrongContentError):
        arriving.finish()
    assert files(payload_dir) == []


def test_more_than_was_said_is_refused(store: Store, payload_dir: Path) -> None:
    arriving = written(store)
    with pytest.raises(InvalidError, match="longer"):
        arriving.write(b"!")
    arriving.abandon()
    assert files(payload_dir) == []


def test_what_nobody_announced_leaves_nothing(store: Store, payload_dir: Path) -> None:
    arrived = written(store).finish()
    with store.keeping([arrived]) as tx:
        assert not tx.objects.take(arrived)
    assert files(payload_dir) == []


def test_what_is_here_already_leaves_nothing_more(store: Store, payload_dir: Path) -> None:
    stored(store)
    again = written(store).finish()
    with store.keeping([again]) as tx:
        assert tx.objects.take(again)
    assert len(files(payload_dir)) == 1
    assert read_all(store) == CONTENT


def test_a_failed_transaction_takes_its_files_along(store: Store, payload_dir: Path) -> None:
    with store.transaction() as tx:
        announce(tx, CONTENT)
    arrived = written(store).finish()
    with pytest.raises(RuntimeError), store.keeping([arrived]) as tx:  # noqa: PT012
        tx.objects.take(arrived)
        raise RuntimeError
    assert files(payload_dir) == []
    with store.reading() as tx:
        assert tx.objects.state(ID) is ObjectState.AWAITED


def _stamp(file: Path) -> Any:
    from flwr.store.payloads import _Stamp

    descriptor = os.open(file, os.O_RDONLY)
    try:
        return _Stamp.of(descriptor)
    finally:
        os.close(descriptor)
