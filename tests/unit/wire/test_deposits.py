"""Large arrays of an app, copied into its daemon before they are part of a message."""

import ctypes
import errno
import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import numpy as np
import pytest

from flwr.app import Array, ArrayRecord, Message, RecordDict, depot
from flwr.app.array import known_ids, own, parts_of
from flwr.app.depot import Copy, Depot
from flwr.app.npy import encode_ndarray
from flwr.app.parts import let_go
from flwr.core.ids import NodeId, ObjectId, RunId
from flwr.core.limits import ARRAY_CHUNK_BYTES, DEPOSIT_BYTES, INLINE_OBJECT_BYTES
from flwr.wire import hatch_deposits
from flwr.wire.chunks import CHUNK_SIZE_VARIABLE, chunks_of, id_of_source
from flwr.wire.clients import lending
from flwr.wire.clients.deposits import Deposits
from flwr.wire.clients.lending import Lending
from flwr.wire.codec.pieces import encode_opening, encode_piece_head
from flwr.wire.hatch import HatchClosedError, HatchFrame, encode_head
from flwr.wire.objects import deflate
from tests.unit.wire.desk import Desk, id_of
from tests.unit.wire.hatch_daemon import Daemon, serving

RUN, NODE = RunId(7), NodeId(5)
MODEL = np.random.default_rng(3).integers(0, 255, DEPOSIT_BYTES + 7, dtype=np.uint8)


@contextmanager
def used(place: Depot) -> Iterator[None]:
    depot.begin(place)
    try:
        yield
    finally:
        depot.end()


@contextmanager
def depositing(desk: Desk) -> Iterator[tuple[Daemon, Deposits]]:
    with serving(desk) as (daemon, client):
        deposits = Deposits(client.connect, NODE, RUN)
        with used(deposits.deposit), closing(deposits):
            yield daemon, deposits


def discarded(desk: Desk) -> list[bool]:
    return [one.is_discarded for one in desk.begun]


def soon(happened: Callable[[], bool]) -> bool:
    until = time.monotonic() + 30
    while not happened() and time.monotonic() < until:
        time.sleep(0.005)
    return happened()


def ids_of(model: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> list[ObjectId]:
    return [id_of_source(chunk) for chunk in chunks_of([encode_ndarray(model)])]


def test_a_large_array_is_with_the_daemon_and_reads_as_it_was() -> None:
    desk, model = Desk(), MODEL.copy()
    with depositing(desk):
        array = Array(model)
        model[:] = 0  # what was copied stays as it was
        assert known_ids(array) == ids_of(MODEL)
        assert [id_of(bytes(one.content)) for one in desk.begun] == ids_of(MODEL)
        assert np.array_equal(array.numpy(), MODEL)
        assert np.array_equal(array.numpy(), MODEL), "it can be read again"
        assert array.data == encode_ndarray(MODEL)


def test_what_it_consists_of_is_not_hashed_by_the_app(monkeypatch: pytest.MonkeyPatch) -> None:
    with depositing(Desk()):
        record = ArrayRecord([MODEL])

    def refuse(_chunks: object) -> list[ObjectId]:
        raise AssertionError("chunks are hashed")

    monkeypatch.setattr("flwr.wire.chunks._ids_of", refuse)
    message = Message(RecordDict({"arrays": record}), dst_node_id=1, message_type="train")
    assert set(ids_of(MODEL)) <= deflate(message).objects.keys()


def test_what_a_message_consists_of_is_kept_without_being_sent_again() -> None:
    wanted = [*ids_of(MODEL), id_of(b"another")]
    desk = Desk(wanted=wanted)
    with depositing(desk) as (_, deposits):
        array = Array(MODEL)
        begun = len(desk.begun)
        assert deposits.keep(wanted) == dict.fromkeys(ids_of(MODEL), True)
        assert deposits.keep(wanted) == {}, "it is kept once"
        assert len(desk.begun) == begun
        assert sorted(desk.kept) == sorted(ids_of(MODEL))
        assert np.array_equal(array.numpy(), MODEL)
    assert not any(discarded(desk))


def test_what_was_not_kept_is_dropped_when_the_app_leaves() -> None:
    desk = Desk(wanted=ids_of(MODEL))
    with depositing(desk) as (_, deposits):
        Array(MODEL)
        deposits.keep(ids_of(MODEL)[:1])
        deposits.close()
        assert soon(lambda: discarded(desk) == [False, True, True, True])


def test_what_an_app_forgets_is_dropped_with_its_next_deposit() -> None:
    desk = Desk(wanted=ids_of(MODEL))
    with depositing(desk) as (_, deposits):
        first = Array(MODEL)
        del first
        second = Array(MODEL + 1)
        assert discarded(desk) == [True] * 4 + [False] * 4
        assert deposits.keep(ids_of(MODEL)) == {}
        assert np.array_equal(second.numpy(), MODEL + 1)
        for _ in range(3):
            Array(MODEL)
        assert len(deposits._ids) == 8
        assert len(deposits._watched) == 8


def test_equal_chunks_are_deposited_once() -> None:
    zeros = np.zeros(4 * ARRAY_CHUNK_BYTES, np.uint8)
    desk = Desk(wanted=ids_of(zeros))
    with depositing(desk) as (_, deposits):
        array = Array(zeros)
        assert np.array_equal(array.numpy(), zeros)
        assert len(deposits.keep(list(dict.fromkeys(ids_of(zeros))))) == 2
    assert len(desk.begun) == 4
    assert sum(discarded(desk)) == 2


def test_a_small_rest_is_no_file() -> None:
    model = np.zeros(DEPOSIT_BYTES // ARRAY_CHUNK_BYTES * ARRAY_CHUNK_BYTES + 5_242_880, np.uint8)
    rest = len(encode_ndarray(model)) % ARRAY_CHUNK_BYTES
    assert 0 < rest <= INLINE_OBJECT_BYTES
    desk = Desk()
    with depositing(desk):
        array = Array(model)
    assert list(known_ids(array)) == ids_of(model)
    assert min(one.size for one in desk.begun) > INLINE_OBJECT_BYTES
    assert np.array_equal(array.numpy(), model)


def test_a_new_value_forgets_where_the_old_one_was() -> None:
    with depositing(Desk()):
        array = Array(MODEL)
    array.data = encode_ndarray(MODEL[:10])
    assert not known_ids(array)


def test_small_arrays_stay_here() -> None:
    desk = Desk()
    with depositing(desk) as (daemon, _):
        array = Array(MODEL[: DEPOSIT_BYTES // 2])
        assert not known_ids(array)
    assert not desk.begun
    assert not daemon.asked


def test_an_app_that_forks_shares_no_connection() -> None:
    desk = Desk()
    with depositing(desk) as (daemon, _):
        if (pid := os.fork()) == 0:
            os._exit(bool(known_ids(Array(MODEL))))
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert not daemon.asked


@pytest.mark.parametrize("way", ["none", "refused", "too much", "gone"])
def test_without_a_place_copies_are_in_memory(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(wanted=ids_of(MODEL))
    with depositing(desk) as (daemon, deposits):
        if way == "none":
            daemon.offers = False
        elif way == "refused":
            monkeypatch.setattr(Desk, "begin_deposit", lambda *_: 1 / 0)
        elif way == "too much":
            monkeypatch.setattr(hatch_deposits, "MAX_DEPOSIT_BYTES", DEPOSIT_BYTES // 2)
        else:
            Array(MODEL)
            daemon.stop_serving()
        for _ in range(2):
            array = Array(MODEL)
            assert np.array_equal(array.numpy(), MODEL)
            assert not known_ids(array)
        assert deposits.keep(ids_of(MODEL)) == {}
    assert daemon.asked <= 1, "it does not ask again"


def test_nothing_of_a_deposit_is_in_this_process() -> None:
    """Pages that were never read are not mapped; those that were can be let go."""
    with depositing(Desk()):
        array = Array(MODEL)
        large = [part for part in parts_of(array) if len(part) > INLINE_OBJECT_BYTES]
        assert large
        for part in large:
            assert isinstance(part, memoryview)
            assert part.readonly
            let_go(part)


def test_who_says_something_else_among_deposits_is_sent_away() -> None:
    with serving(Desk()) as (_, client):
        connection = client.connect(RUN)
        assert connection is not None
        with closing(connection):
            for _ in range(2):
                connection.open_deposit(b"")
                connection.lend(HatchFrame.END)
                assert not list(connection.deposited())
            connection.send(HatchFrame.PULL)
            assert connection._read()[0] is HatchFrame.FAILURE
            assert connection._sock.recv(1) == b""


def test_who_brings_no_pipe_is_sent_away() -> None:
    with serving(Desk()) as (_, client):
        connection = client.connect(RUN)
        assert connection is not None
        with closing(connection):
            connection.open(HatchFrame.DEPOSIT, b"")
            assert connection._read()[0] is HatchFrame.FAILURE


def test_who_ends_its_pipe_in_a_piece_leaves_nothing() -> None:
    desk = Desk()
    with serving(desk) as (_, client):
        connection = client.connect(RUN)
        assert connection is not None
        with closing(connection):
            connection.open_deposit(encode_opening(NODE, RUN, [ObjectId("0")]))
            head = encode_piece_head(0, 200_000, 0, 100_000)
            connection.lend(HatchFrame.PIECE, (head, bytes(100_000)))
            assert connection._lending is not None
            connection._lending.write((encode_head(HatchFrame.PIECE, 100_020), b"the beginning"))
            connection._lending.close()
            assert connection._read()[0] is HatchFrame.FAILURE
        assert soon(lambda: [one.is_abandoned for one in desk.begun] == [True])


@pytest.mark.parametrize("way", ["none", "refused"])
def test_where_the_kernel_lends_no_memory_it_is_copied(
    monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    calls: list[int] = []

    def refuse(*_: object) -> int:
        ctypes.set_errno(errno.EPERM)
        calls.append(1)
        return -1

    monkeypatch.setattr(lending, "_vmsplice", lambda: None if way == "none" else refuse)
    with depositing(Desk()):
        array = Array(MODEL)
        assert known_ids(array) == ids_of(MODEL)
        assert np.array_equal(array.numpy(), MODEL)
    assert len(calls) == (0 if way == "none" else 1), "it is not asked again"


def test_a_daemon_that_does_not_read_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lending, "_PATIENCE_MS", 10)
    with closing(Lending()) as pipe, pytest.raises(HatchClosedError):
        pipe.write((MODEL.data,))


def test_a_daemon_that_has_gone_is_noticed() -> None:
    with closing(Lending()) as pipe:
        pipe.hand_over()
        for content in (b"a few", MODEL.data):
            with pytest.raises(BrokenPipeError):
                pipe.write((content,))


def test_a_copy_without_ids_is_hashed_as_ever() -> None:
    with used(lambda parts: Copy((b"".join(parts),))):
        record = ArrayRecord([MODEL])
    message = Message(RecordDict({"arrays": record}), dst_node_id=1, message_type="train")
    assert set(ids_of(MODEL)) <= deflate(message).objects.keys()


def test_what_was_lent_is_handed_over_when_it_is_to_be_sent() -> None:
    desk, record = Desk(), ArrayRecord({"x": own(MODEL.copy())})
    array = record["x"]
    with depositing(desk):
        for node_id in (1, 2):
            message = Message(RecordDict({"a": record}), dst_node_id=node_id, message_type="train")
            assert set(ids_of(MODEL)) <= deflate(message).objects.keys()
        assert list(known_ids(array)) == ids_of(MODEL)
        assert len(desk.begun) == len(ids_of(MODEL))
        assert np.array_equal(array.numpy(), MODEL)


def test_ids_of_an_array_that_is_cut_otherwise_count_for_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with depositing(Desk()):
        array = Array(MODEL)
    monkeypatch.setenv(CHUNK_SIZE_VARIABLE, str(ARRAY_CHUNK_BYTES + 1))
    message = Message(
        RecordDict({"a": ArrayRecord({"x": array})}), dst_node_id=1, message_type="train"
    )
    assert len(ids_of(MODEL)) == len(known_ids(array))
    assert set(ids_of(MODEL)) <= deflate(message).objects.keys()
    assert set(known_ids(array)).isdisjoint(deflate(message).objects)
