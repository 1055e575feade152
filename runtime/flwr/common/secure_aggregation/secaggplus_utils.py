"""What both sides must do alike: how shares are laid out, and how masks are added."""

import struct
from typing import Final

import numpy as np

from flwr.common.typing import NDArrayInt
from flwr.crypto.masks import mersenne_twister

_HEAD: Final = struct.Struct("<QQI")  # from which node, for which node, length of the first share


def share_keys_plaintext_concat(
    src_node_id: int, dst_node_id: int, b_share: bytes, sk_share: bytes
) -> bytes:
    """Return the two shares that one node has for another, with both ids."""
    return _HEAD.pack(src_node_id, dst_node_id, len(b_share)) + b_share + sk_share


def share_keys_plaintext_separate(plaintext: bytes) -> tuple[int, int, bytes, bytes]:
    """Undo ``share_keys_plaintext_concat``.

    Raises:
        ValueError: the bytes were not made by it.
    """
    if len(plaintext) < _HEAD.size:
        raise ValueError(f"{len(plaintext)} bytes hold no shares, their head alone is longer")
    source, destination, length = _HEAD.unpack_from(plaintext)
    shares = plaintext[_HEAD.size :]
    if length > len(shares):
        raise ValueError(f"the first share should have {length} bytes, {len(shares)} are left")
    return source, destination, shares[:length], shares[length:]


def mask_sign(node_id: int, neighbour_id: int) -> int:
    """Return 1 or -1: with what sign ``node_id`` adds the mask it shares with a neighbour."""
    return 1 if node_id > neighbour_id else -1


def pseudo_rand_gen(
    seed: bytes, num_range: int, dimensions_list: list[tuple[int, ...]]
) -> list[NDArrayInt]:
    """Return arrays of integers below ``num_range - 1`` that depend on ``seed`` alone.

    Raises:
        ValueError: the seed is no multiple of 4 bytes.
    """
    generator = mersenne_twister(seed)
    return [
        np.asarray(generator.randint(0, num_range - 1, dimensions, np.int64))
        for dimensions in dimensions_list
    ]
