"""Object trees as compact bytes: per node 32 bytes of id and 4 of child count, parents first."""

import struct
from collections.abc import Iterator
from typing import Final

from flwr.core.ids import ObjectId
from flwr.core.message import ObjectTree

_NODE: Final = struct.Struct(">32sI")


def pack_tree(tree: ObjectTree) -> bytes:
    """Return the bytes of a tree; every id must be 64 hex digits."""
    packed = bytearray()
    _pack(tree, packed)
    return bytes(packed)


def unpack_tree(packed: bytes) -> ObjectTree:
    """Return the tree ``pack_tree`` wrote."""
    return _unpack(_NODE.iter_unpack(packed))


def _pack(tree: ObjectTree, packed: bytearray) -> None:
    packed += _NODE.pack(bytes.fromhex(tree.object_id), len(tree.children))
    for child in tree.children:
        _pack(child, packed)


def _unpack(nodes: Iterator[tuple[bytes, int]]) -> ObjectTree:
    digest, children = next(nodes)
    return ObjectTree(ObjectId(digest.hex()), tuple([_unpack(nodes) for _ in range(children)]))
