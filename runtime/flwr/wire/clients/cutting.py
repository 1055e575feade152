"""Objects that lie in parts, cut into pieces that are sent from where they lie."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

from flwr.app.parts import cut
from flwr.core.ids import ObjectId
from flwr.core.limits import PIECE_BYTES
from flwr.wire.codec.pieces import encode_piece_head
from flwr.wire.object_format import Content
from flwr.wire.transport import Buffers


class Parts(Protocol):
    """An object that lies in parts."""

    @property
    def parts(self) -> tuple[Content, ...]:
        """Its bytes, one part after the other."""
        ...


def pieces_in_parts(
    ids: Sequence[ObjectId], objects: Mapping[ObjectId, Parts], most: int = PIECE_BYTES
) -> Iterator[Buffers]:
    """Yield objects in pieces of ``most`` bytes at most, each in parts: nothing is copied."""
    for index, object_id in enumerate(ids):
        parts = objects[object_id].parts
        size, offset = sum(map(len, parts)), 0
        for data in cut(parts, most):
            length = sum(map(len, data))
            yield [encode_piece_head(index, size, offset, length), *data]
            offset += length
