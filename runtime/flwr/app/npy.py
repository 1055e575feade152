"""The ``.npy`` format without pickling: ndarray to bytes and back, with one copy each way."""

from functools import lru_cache
from io import BytesIO
from math import prod
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

_FIXED: Final = 10  # bytes of magic, version and length before a header of version 1.0
_HEADER_MAX: Final = 16_384  # bytes; numpy itself refuses longer ones
_VERSION_1: Final = b"\x93NUMPY\x01\x00"
_REMEMBERED: Final = 512  # headers: numpy's parser takes longer than the array of a small model
_PLAIN: Final = "biufc"  # kinds of types that have a buffer, and that their name says all about


class _Header(NamedTuple):
    shape: tuple[int, ...]
    by_columns: bool
    dtype: np.dtype[Any]
    length: int


def encode_ndarray(ndarray: NDArray[Any]) -> bytes:
    """Return ``ndarray`` as the bytes of a ``.npy`` file, equal to what ``numpy.save`` writes.

    Raises:
        ValueError: it holds Python objects, which only pickling could write.
    """
    if ndarray.dtype.hasobject:
        raise ValueError("Object arrays cannot be sent: they would need pickling")
    # numpy's rule: an array that is contiguous by columns only is written by columns.
    by_columns = not ndarray.flags.c_contiguous and ndarray.flags.f_contiguous
    write = _written if ndarray.dtype.kind in _PLAIN else _written.__wrapped__
    elements = ndarray.T if by_columns else ndarray
    header = write(ndarray.dtype, ndarray.shape, by_columns)
    return b"".join((header, _raw(np.ascontiguousarray(elements))))


def decode_ndarray(data: bytes | memoryview) -> NDArray[Any]:
    """Return a fresh, writable array read from the bytes of a ``.npy`` file.

    Raises:
        ValueError: the bytes are no ``.npy`` file, are cut off, or hold pickled objects.
    """
    return view_ndarray(data).copy("K")


def view_ndarray(data: bytes | memoryview) -> NDArray[Any]:
    """Return the array in the bytes of a ``.npy`` file, read in place; nobody may write to it.

    Raises:
        ValueError: the bytes are no ``.npy`` file, are cut off, or hold pickled objects.
    """
    header = _header_of(data)
    if header is None:
        return np.asarray(np.load(BytesIO(data), allow_pickle=False))
    if header.dtype.hasobject:
        raise ValueError("Object arrays cannot be read: they would need unpickling")
    count = prod(header.shape)
    if not count:
        return np.empty(header.shape, header.dtype)
    flat = np.frombuffer(data, header.dtype, count=count, offset=header.length)
    return flat.reshape(header.shape, order="F" if header.by_columns else "C")


def _header_of(data: bytes | memoryview) -> _Header | None:
    """Return the header that ``data`` begins with; None: only ``numpy.load`` can read it."""
    start = bytes(data[:_FIXED])
    if start.startswith(_VERSION_1):
        return _parsed(bytes(data[: _FIXED + int.from_bytes(start[-2:], "little")]))
    return _parsed.__wrapped__(bytes(data[:_HEADER_MAX]))


@lru_cache(_REMEMBERED)
def _parsed(beginning: bytes) -> _Header | None:
    stream = BytesIO(beginning)
    version = npy_format.read_magic(stream)
    if version == (1, 0):
        fields = npy_format.read_array_header_1_0(stream)
    elif version == (2, 0):
        fields = npy_format.read_array_header_2_0(stream)
    else:
        return None
    return _Header(*fields, stream.tell())


@lru_cache(_REMEMBERED)
def _written(dtype: np.dtype[Any], shape: tuple[int, ...], by_columns: bool) -> bytes:
    header = BytesIO()
    fields = {
        "shape": shape,
        "fortran_order": by_columns,
        "descr": npy_format.dtype_to_descr(dtype),
    }
    npy_format.write_array_header_1_0(header, fields)
    return header.getvalue()


def _raw(contiguous: NDArray[Any]) -> memoryview | bytes:
    """Return the elements as bytes, without a copy where the type has a buffer."""
    if contiguous.size == 0 or contiguous.dtype.kind not in _PLAIN:
        return contiguous.tobytes()
    return contiguous.reshape(-1).view(np.uint8).data
