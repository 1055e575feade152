"""An app's objects in pieces: sent from where they lie, resumed, and checked as they come."""

import hashlib
from collections.abc import Iterable, Mapping

import pytest

from flwr.core.errors import NotFoundError, UnavailableError, UnimplementedError
from flwr.core.ids import NodeId, ObjectId, RunId
from flwr.core.limits import PIECE_BYTES
from flwr.proto.compose.v1 import bulk_pb2
from flwr.wire.appio_methods import OPEN_HATCH, PULL_PIECES, PUSH_PIECES
from flwr.wire.chunks import Source
from flwr.wire.clients.app_bulk import AppBulk
from flwr.wire.clients.appio import ObjectRefusedError
from flwr.wire.clients.hatch import HatchClient
from flwr.wire.codec.pieces import (
    Absence,
    Wanted,
    decode_piece,
    decode_wanted,
    encode_absence,
    encode_piece,
    encode_taken,
)
from flwr.wire.object_format import Content, MalformedObjectError
from flwr.wire.transport import NO_METADATA, Buffers, Take

HEAD, BODY = b"ArrayChunk  3145735\0", bytes(range(256)) * 4096 * 3 + b"the end"
LARGE, SMALL = HEAD + BODY, b"small"


def id_of(content: bytes) -> ObjectId:
    return ObjectId(hashlib.sha256(content).hexdigest())


class Daemon:
    """Takes and hands out objects in pieces, at the other end of a pipe."""

    def __init__(self, *has: bytes) -> None:
        self.has = {id_of(content): content for content in has}
        self.got: dict[ObjectId, bytes] = {}
        self.longest_sent = 0
        self.asked: list[list[Wanted]] = []
        self.pushes: list[list[ObjectId]] = []
        self.refuses: set[ObjectId] = set()
        self.late: dict[ObjectId, int] = {}
        self.damaged: dict[ObjectId, int] = {}
        self.breaks_after: int | None = None  # pieces, once
        self.has_streams = True

    def call(
        self,
        method: str,
        request: bytes,
        *,
        timeout: float | None = None,
        metadata: Mapping[str, str] = NO_METADATA,
    ) -> bytes:
        raise UnimplementedError(method)

    def stream(
        self, method: str, request: bytes, *, more: Iterable[Buffers] = (), take: Take
    ) -> None:
        if not self.has_streams or method == OPEN_HATCH:
            raise UnimplementedError(method)
        if method == PULL_PIECES:
            self._hand_out(decode_wanted(bulk_pb2.PullRequest.FromString(request)), take)
        else:
            assert method == PUSH_PIECES
            self._take_in(bulk_pb2.Piece.FromString(request), more, take)

    def _hand_out(self, wanted: list[Wanted], take: Take) -> None:
        if wanted:
            self.asked.append(wanted)
        for index, one in enumerate(wanted):
            content = self.has.get(one.object_id)
            if content is None:
                take(encode_absence(index, Absence.UNKNOWN))
            elif self._counts_down(self.late, one.object_id):
                take(encode_absence(index, Absence.AWAITED))
            else:
                if self._counts_down(self.damaged, one.object_id):
                    content = bytes(len(content))
                for start in range(one.offset, len(content), PIECE_BYTES):
                    self._may_break()
                    data = content[start : start + PIECE_BYTES]
                    take(encode_piece(index, len(content), start, data))

    def _take_in(self, opening: bulk_pb2.Piece, more: Iterable[Buffers], take: Take) -> None:
        ids = [ObjectId(text) for text in opening.object_ids]
        self.pushes.append(ids)
        coming = bytearray()
        for parts in more:
            self._may_break()
            self.longest_sent = max(self.longest_sent, sum(map(len, parts)))
            piece = decode_piece(b"".join(parts))
            assert piece.offset == len(coming)
            coming += piece.data
            if len(coming) == piece.size:
                object_id = ids[piece.index]
                self.got[object_id], coming = bytes(coming), bytearray()
                take(encode_taken(piece.index, stored=object_id not in self.refuses))

    def _may_break(self) -> None:
        if self.breaks_after is not None:
            self.breaks_after -= 1
            if self.breaks_after < 0:
                self.breaks_after = None
                raise UnavailableError("the stream broke")

    @staticmethod
    def _counts_down(counts: dict[ObjectId, int], object_id: ObjectId) -> bool:
        counts[object_id] = counts.get(object_id, 0) - 1
        return counts[object_id] >= 0


def bulk_of(daemon: Daemon) -> AppBulk:
    hatch = HatchClient(daemon, NodeId(5))
    return AppBulk(daemon, NodeId(5), RunId(7), hatch, pause=lambda _: None)


def sources(*objects: tuple[Content, ...]) -> dict[ObjectId, Source]:
    return {id_of(b"".join(parts)): Source(parts) for parts in objects}


def test_parts_are_sent_as_one_object_in_bounded_pieces() -> None:
    daemon, objects = Daemon(), sources((HEAD, memoryview(BODY)), (SMALL,))
    bulk_of(daemon).push(list(objects), objects)
    assert daemon.got == {id_of(LARGE): LARGE, id_of(SMALL): SMALL}
    assert daemon.longest_sent <= PIECE_BYTES + 64


def test_a_push_that_broke_leaves_out_what_was_taken() -> None:
    daemon, objects = Daemon(), sources((SMALL,), (HEAD, memoryview(BODY)))
    daemon.breaks_after = 2
    bulk_of(daemon).push(list(objects), objects)
    assert daemon.pushes == [[id_of(SMALL), id_of(LARGE)], [id_of(LARGE)]]
    assert daemon.got[id_of(LARGE)] == LARGE


def test_an_object_that_nobody_wants_any_longer_is_an_error() -> None:
    daemon, objects = Daemon(), sources((SMALL,))
    daemon.refuses = {id_of(SMALL)}
    with pytest.raises(ObjectRefusedError):
        bulk_of(daemon).push(list(objects), objects)


def test_objects_come_whole_and_checked() -> None:
    arrivals = bulk_of(Daemon(LARGE, SMALL)).pull([id_of(SMALL), id_of(LARGE)])
    assert arrivals.get(id_of(SMALL)) == SMALL
    assert arrivals.get(id_of(LARGE)) == LARGE


def test_a_pull_that_broke_goes_on_within_the_object() -> None:
    daemon = Daemon(SMALL, LARGE)
    daemon.breaks_after = 2
    assert bulk_of(daemon).pull([id_of(SMALL), id_of(LARGE)]).get(id_of(LARGE)) == LARGE
    assert daemon.asked[1] == [Wanted(id_of(LARGE), PIECE_BYTES)]


@pytest.mark.row("F13")
def test_a_damaged_object_is_asked_for_again_as_suspected() -> None:
    daemon = Daemon(LARGE)
    daemon.damaged = {id_of(LARGE): 2}
    assert bulk_of(daemon).pull([id_of(LARGE)]).get(id_of(LARGE)) == LARGE
    assert [asked[0].is_suspected for asked in daemon.asked] == [False, True, True]
    daemon.damaged = {id_of(LARGE): 3}
    with pytest.raises(MalformedObjectError):
        bulk_of(daemon).pull([id_of(LARGE)]).get(id_of(LARGE))


def test_a_late_object_is_waited_for_and_an_unknown_one_is_not() -> None:
    daemon = Daemon(SMALL)
    daemon.late = {id_of(SMALL): 3}
    assert bulk_of(daemon).pull([id_of(SMALL)]).get(id_of(SMALL)) == SMALL
    with pytest.raises(NotFoundError):
        bulk_of(daemon).pull([id_of(LARGE)]).get(id_of(LARGE))


def test_a_daemon_without_streams_says_so() -> None:
    daemon, objects = Daemon(SMALL), sources((SMALL,))
    daemon.has_streams = False
    with pytest.raises(UnimplementedError):
        bulk_of(daemon).push(list(objects), objects)
    with pytest.raises(UnimplementedError):
        bulk_of(daemon).pull(list(objects)).get(id_of(SMALL))
