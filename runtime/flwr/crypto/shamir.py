"""Shamir's secret sharing of byte strings, over GF(2^128) by pycryptodome.

A secret is padded (PKCS #7) and cut into blocks of 16 bytes; each block is shared on its own.  A
share is its number, 4 bytes little-endian, then 16 bytes per block: the layout of upstream's
releases.  Nothing here tells a wrong share from a right one: it yields a wrong secret, or none.

Source: Shamir, Communications of the ACM 22 (1979).
"""

from collections.abc import Sequence
from typing import Final

from Crypto.Protocol.SecretSharing import Shamir
from Crypto.Util.Padding import pad, unpad

BLOCK_BYTES: Final = 16  # an element of GF(2^128)
NUMBER_BYTES: Final = 4
MAX_SHARE_BYTES: Final = NUMBER_BYTES + 4096  # a private key on P-521 in PEM form needs 400


class ShareError(ValueError):
    """The shares cannot be made, or do not fit together."""


def split(secret: bytes, threshold: int, count: int) -> list[bytes]:
    """Return ``count`` shares, any ``threshold`` of which give the secret and fewer nothing.

    Raises:
        ShareError: not 2 <= threshold <= count: a lone share would be the secret itself.
    """
    if not 2 <= threshold <= count:  # noqa: PLR2004  see Raises
        raise ShareError(f"cannot share among {count} with threshold {threshold}: 2 is the least")
    padded = pad(secret, BLOCK_BYTES)
    shares = [bytearray(number.to_bytes(NUMBER_BYTES, "little")) for number in _numbers(count)]
    for block in _blocks(padded):
        for number, part in Shamir.split(threshold, count, block):
            shares[number - 1] += part
    return [bytes(share) for share in shares]


def combine(shares: Sequence[bytes]) -> bytes:
    """Return the secret that ``shares`` were made of, given at least the threshold of them.

    Raises:
        ShareError: there are none, they differ in length, two have the same number, or they give
            no well-formed secret, as too few or altered ones do nearly always.
    """
    numbers = [int.from_bytes(share[:NUMBER_BYTES], "little") for share in shares]
    lengths = {len(share) for share in shares}
    body_bytes = max(lengths, default=0) - NUMBER_BYTES
    if len(lengths) != 1 or body_bytes < BLOCK_BYTES or body_bytes % BLOCK_BYTES:
        raise ShareError(f"shares of {sorted(lengths) or 'no'} bytes are no shares of one secret")
    if max(lengths) > MAX_SHARE_BYTES:
        raise ShareError(f"a share has {max(lengths)} bytes, {MAX_SHARE_BYTES} is the most")
    if len(set(numbers)) != len(numbers) or 0 in numbers:
        raise ShareError(f"shares with the numbers {numbers}: each must be its own, from 1 on")
    columns = zip(*(_blocks(share[NUMBER_BYTES:]) for share in shares), strict=True)
    padded = b"".join(_combine(numbers, column) for column in columns)
    try:
        return unpad(padded, BLOCK_BYTES)
    except ValueError as cause:
        raise ShareError("the shares give no secret: too few, or one was altered") from cause


def _combine(numbers: Sequence[int], parts: Sequence[bytes]) -> bytes:
    secret: bytes = Shamir.combine(list(zip(numbers, parts, strict=True)))
    return secret


def _numbers(count: int) -> range:
    return range(1, count + 1)


def _blocks(data: bytes) -> list[bytes]:
    return [data[start : start + BLOCK_BYTES] for start in range(0, len(data), BLOCK_BYTES)]
