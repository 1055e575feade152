"""Pieces of objects: what is written is what protobuf reads, and nothing else is taken for one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flwr.core.errors import InvalidError
from flwr.core.ids import NodeId, ObjectId, RunId
from flwr.core.limits import HATCH_PIECE_BYTES
from flwr.proto.compose.v1 import bulk_pb2
from flwr.wire.codec.pieces import (
    Absence,
    Piece,
    Wanted,
    decode_piece,
    decode_taken,
    decode_wanted,
    encode_absence,
    encode_opening,
    encode_piece,
    encode_pull,
    encode_taken,
)

COUNT = st.integers(0, 2**32 - 1)
SIZE = st.integers(0, 2**63 - 1)


@given(COUNT, SIZE, SIZE, st.binary(min_size=1, max_size=300))
def test_a_piece_comes_back_as_it_was(index: int, size: int, offset: int, data: bytes) -> None:
    piece = decode_piece(encode_piece(index, size, offset, data))
    assert (piece.index, piece.size, piece.offset) == (index, size, offset)
    assert piece.data == data


@given(COUNT, SIZE, SIZE, st.binary(max_size=300))
def test_protobuf_reads_the_same(index: int, size: int, offset: int, data: bytes) -> None:
    said = bulk_pb2.Piece.FromString(encode_piece(index, size, offset, data))
    assert said == bulk_pb2.Piece(object=index, size=size, offset=offset, data=data)
    assert decode_piece(said.SerializeToString()).data == data


@given(st.binary(max_size=200))
def test_anything_else_is_refused_or_read_as_protobuf_does(raw: bytes) -> None:
    try:
        piece = decode_piece(raw)
    except InvalidError:
        return
    assert bulk_pb2.Piece.FromString(raw).data == piece.data


@pytest.mark.parametrize("absence", [Absence.UNKNOWN, Absence.AWAITED])
def test_an_absence_has_no_data(absence: Absence) -> None:
    assert decode_piece(encode_absence(3, absence)) == Piece(3, absence=absence)


def test_the_data_is_not_copied() -> None:
    raw = encode_piece(1, 10, 0, b"0123456789")
    assert decode_piece(raw).data.obj is raw


def test_a_piece_that_is_too_large_is_refused() -> None:
    with pytest.raises(InvalidError, match="allowed"):
        decode_piece(encode_piece(0, 2 * HATCH_PIECE_BYTES, 0, bytes(HATCH_PIECE_BYTES + 100)))


def test_requests_come_back_as_they_were() -> None:
    wanted = [Wanted(ObjectId("a" * 64)), Wanted(ObjectId("b" * 64), 17, is_suspected=True)]
    assert decode_wanted(encode_pull(NodeId(1), RunId(2), wanted)) == wanted
    opening = bulk_pb2.Piece.FromString(encode_opening(NodeId(1), RunId(2), [ObjectId("a" * 64)]))
    assert (opening.node.node_id, opening.run_id) == (1, 2)
    assert list(opening.object_ids) == ["a" * 64]
    assert decode_taken(encode_taken(4, stored=True)) == (4, True)
