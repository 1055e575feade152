"""Masks: integer vectors that look random and that everyone who knows the seed can make again."""

from enum import StrEnum
from typing import Any, Final

import numpy as np
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from numpy.typing import NDArray

MAX_MODULUS: Final = 1 << 62  # sums of two residues must fit into int64

_WORD_BYTES: Final = 4  # of a seed folded into MT19937's
_NONCE: Final = bytes(16)  # a seed makes one mask, so the key is never used twice
_KEY_INFO: Final = b"flwr-compose secure aggregation mask"


class MaskGenerator(StrEnum):
    """What makes a mask of a seed.

    ``MT19937`` is the generator of upstream's releases.  It folds the seed into 32 bits, which can
    be tried out one by one: whoever collects masked vectors can, with some patience, unmask them.
    ``CHACHA20`` uses all of the seed.
    """

    MT19937 = "mt19937"
    CHACHA20 = "chacha20"


def is_modulus(number: int) -> bool:
    """Tell whether masked vectors can be added modulo ``number``: a power of two, up to 2^62."""
    return 2 <= number <= MAX_MODULUS and number & (number - 1) == 0  # noqa: PLR2004  one bit


def make_mask(
    generator: MaskGenerator, seed: bytes, modulus: int, length: int
) -> NDArray[np.int64]:
    """Return ``length`` numbers from 0 to ``modulus - 1`` that depend on ``seed`` alone.

    Args:
        generator: how.
        seed: for MT19937 a multiple of 4 bytes.
        modulus: a power of two, 2^62 at most.
        length: elements of the vector.

    Raises:
        ValueError: the modulus or the seed's length is not allowed.
    """
    if not is_modulus(modulus):
        raise ValueError(f"a modulus is a power of two up to 2^62, not {modulus}")
    if generator is MaskGenerator.MT19937:
        return np.asarray(mersenne_twister(seed).randint(0, modulus - 1, length, np.int64))
    words = np.dtype("<u4") if modulus <= 1 << 32 else np.dtype("<u8")
    stream: NDArray[Any] = np.frombuffer(_keystream(seed, length * words.itemsize), words)
    return np.asarray(stream & words.type(modulus - 1), np.int64)


def reduce(vector: NDArray[np.int64], modulus: int) -> None:
    """Bring every number of ``vector`` into 0 to ``modulus - 1``, in place.

    A power of two divides 2^64: the result is right even where sums went round in int64.
    """
    np.bitwise_and(vector, modulus - 1, out=vector)


def mersenne_twister(seed: bytes) -> np.random.RandomState:
    """Return upstream's generator: MT19937, seeded with the XOR of the seed's 4-byte words.

    Raises:
        ValueError: the seed is no multiple of 4 bytes.
    """
    if len(seed) % _WORD_BYTES:
        raise ValueError(f"a seed of {len(seed)} bytes is not made of 4-byte words")
    words: NDArray[Any] = np.frombuffer(seed, "<u4")
    # The legacy generator is the contract: every participant must draw the same numbers.
    return np.random.RandomState(int(np.bitwise_xor.reduce(words)) if len(words) else 0)


def _keystream(seed: bytes, size_bytes: int) -> bytes:
    key = HKDF(algorithm=hashes.SHA256(), length=32, salt=None, info=_KEY_INFO).derive(seed)
    return Cipher(ChaCha20(key, _NONCE), mode=None).encryptor().update(bytes(size_bytes))
