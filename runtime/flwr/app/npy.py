"""The ``.npy`` format without pickling: ndarray to bytes and back, with one copy each way.

The bytes may lie in several places, as a model does that came in chunks: they are read where they
lie, and never put together first.
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from io import BytesIO
from math import prod
from tokenize import TokenError
from typing import Any, Final, Literal, NamedTuple

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

from flwr.app.in_place import IN_PLACE_BYTES, side_by_side
from flwr.app.parts import Parts, Place, beginning, cut, fill, let_go, skip

_FIXED: Final = 10  # bytes of magic, version and length before a header of version 1.0
_HEADER_MAX: Final = 16_384  # bytes; numpy itself refuses longer ones
_LETTERS_MAX: Final = 10_000  # of a header, by numpy's own rule; in UTF-8 it may have more bytes
_VERSION_1: Final = b"\x93NUMPY\x01\x00"
_REMEMBERED: Final = 512  # headers
_PLAIN: Final = "biufc"  # kinds of types that have a buffer, and that their name says all about
_UNREADABLE: Final = (
    TokenError,
    SyntaxError,
    TypeError,
    OverflowError,
    MemoryError,
    RecursionError,
)
"""What numpy and Python raise, beside ValueError, of a header that was made to be misread."""
_USUAL: Final = re.compile(  # what numpy writes of plain types; an axis has at most 18 digits here
    rb"\{'descr': '([<>|](?:b1|[iu][1248]|f[248]|c8|c16))', 'fortran_order': (True|False), "
    rb"'shape': \(((?:\d{1,18}, )*(?:\d{1,18},?)?)\), \} *\n"
)
_ALIGNMENT: Final = 64  # numpy's, of where elements begin
_AXIS_DIGITS: Final = 21  # for which numpy leaves room, so that an array can grow in its file
_HUGE: Final = 4_194_304  # bytes; from there on numpy asks the kernel for huge pages
_BLOCK_BYTES: Final = 262_144  # gathered at once, so that they stay in the processor's cache


class Header(NamedTuple):
    """What is known of an array before its elements are read."""

    shape: tuple[int, ...]
    by_columns: bool
    dtype: np.dtype[Any]
    length: int
    """Bytes before the elements."""

    @property
    def order(self) -> Literal["C", "F"]:
        """Numpy's name of the order in which the elements lie."""
        return "F" if self.by_columns else "C"


def encode_ndarray(ndarray: NDArray[Any]) -> bytes:
    """Return ``ndarray`` as the bytes of a ``.npy`` file, equal to what ``numpy.save`` writes.

    Raises:
        ValueError: it holds Python objects, which only pickling could write.
    """
    return b"".join(ndarray_parts(ndarray))


def copied(ndarray: NDArray[Any]) -> bytes | memoryview:
    """Return the same bytes as ``encode_ndarray``, a large array's in memory of huge pages.

    Raises:
        ValueError: it holds Python objects, which only pickling could write.
    """
    parts = ndarray_parts(ndarray)
    size = sum(map(len, parts))
    if size < _HUGE:
        return b"".join(parts)
    memory = np.empty(size, np.uint8).data
    fill(memory, parts)
    return memory.toreadonly()


def ndarray_parts(ndarray: NDArray[Any]) -> tuple[bytes, memoryview | bytes]:
    """Return header and elements of a ``.npy`` file; the elements where they lie, if they can be.

    Raises:
        ValueError: it holds Python objects, which only pickling could write.
    """
    if ndarray.dtype.hasobject:
        raise ValueError("Object arrays cannot be sent: they would need pickling")
    # numpy's rule: an array that is contiguous by columns only is written by columns.
    by_columns = not ndarray.flags.c_contiguous and ndarray.flags.f_contiguous
    write = _written if ndarray.dtype.kind in _PLAIN else _written_by_numpy
    elements = ndarray.T if by_columns else ndarray
    header = write(ndarray.dtype, ndarray.shape, by_columns)
    return header, _raw(np.ascontiguousarray(elements))


def decode_ndarray(data: Place) -> NDArray[Any]:
    """Return a fresh, writable array read from the bytes of a ``.npy`` file.

    Raises:
        ValueError: the bytes are no ``.npy`` file, are cut off, or hold pickled objects.
    """
    return decode_parts((data,))


def decode_parts(parts: Parts) -> NDArray[Any]:
    """Return the same of bytes that lie in several places; each is copied once, or not at all.

    Raises:
        ValueError: the bytes are no ``.npy`` file, are cut off, or hold pickled objects.
    """
    header = header_of(parts)
    if header.dtype.itemsize == 0:
        return np.asarray(np.load(BytesIO(b"".join(parts)), allow_pickle=False))
    size = prod(header.shape) * header.dtype.itemsize
    array = _in_place(parts, header) if size >= IN_PLACE_BYTES else None
    if array is None:
        array = np.empty(prod(header.shape), header.dtype)
        rest = array.view(np.uint8).data if array.size else memoryview(b"")
        for part in skip(parts, header.length):
            rest = rest[fill(rest, (part,)) :]
            let_go(part)
    return array.reshape(header.shape, order=header.order)


def _in_place(parts: Parts, header: Header) -> NDArray[Any] | None:
    if header.dtype.kind not in _PLAIN or header.length % _ALIGNMENT:
        return None
    data = side_by_side(parts)
    if data is None:
        return None
    return np.frombuffer(data, header.dtype, prod(header.shape), header.length)


def blocks(parts: Parts, header: Header) -> Iterator[NDArray[Any]]:
    """Yield the elements in the order in which they lie, some at a time, on one axis.

    A block is good until the next one is asked for, and nobody may write to it.

    Args:
        parts: the bytes of a ``.npy`` file.
        header: of these.
    """
    if not header.dtype.itemsize:
        yield decode_parts(parts).reshape(-1)
        return
    elements = skip(parts, header.length)
    if len(elements) == 1 and _is_aligned(elements[0], header.dtype):
        yield np.frombuffer(elements[0], header.dtype, count=prod(header.shape))
        return
    size = header.dtype.itemsize
    block = np.empty(max(1, _BLOCK_BYTES // size), header.dtype)
    for piece in cut(elements, block.nbytes):
        filled = fill(block.view(np.uint8).data, piece)
        yield block[: filled // size]
        for part in piece[:-1]:  # the last one goes on
            let_go(part)


def header_of(parts: Parts) -> Header:
    """Return the header that the bytes begin with; of any version, and nothing else is read.

    Raises:
        ValueError: the bytes are no ``.npy`` file, are cut off, or hold pickled objects.
    """
    start = beginning(parts, _FIXED)
    try:
        if start.startswith(_VERSION_1):
            header = _parsed(beginning(parts, _FIXED + int.from_bytes(start[-2:], "little")))
        else:
            header = _parsed_by_numpy(beginning(parts, _HEADER_MAX))
    except _UNREADABLE as cause:
        raise ValueError(f"the header of the array is damaged: {type(cause).__name__}") from cause
    if header.dtype.hasobject:
        raise ValueError("Object arrays cannot be read: they would need unpickling")
    if min(header.shape, default=0) < 0:
        raise ValueError(f"the shape of the array is {header.shape}")
    needed = header.length + prod(header.shape) * header.dtype.itemsize
    if sum(map(len, parts)) < needed:
        raise ValueError("the elements of the array are cut off")
    return header


def remember(parts: Parts) -> None:
    """Have the header of a ``.npy`` file at hand when another of its kind is read or written.

    Raises:
        ValueError: see ``header_of``.
    """
    header = header_of(parts)
    if header.dtype.kind in _PLAIN:
        _written(header.dtype, header.shape, header.by_columns)


@lru_cache(_REMEMBERED)
def _parsed(start: bytes) -> Header:
    length = _FIXED + int.from_bytes(start[_FIXED - 2 : _FIXED], "little")
    usual = _USUAL.fullmatch(start, _FIXED, length) if start.startswith(_VERSION_1) else None
    if usual is None or len(start) < length:
        return _parsed_by_numpy(start)
    dtype, by_columns, axes = usual.groups()
    shape = tuple(int(axis) for axis in axes.split(b",") if axis)
    return Header(shape, by_columns == b"True", np.dtype(dtype.decode()), length)


def _parsed_by_numpy(start: bytes) -> Header:
    stream = BytesIO(start)
    version = npy_format.read_magic(stream)
    if version == (1, 0):
        return Header(*npy_format.read_array_header_1_0(stream), stream.tell())
    if version == (2, 0):
        return Header(*npy_format.read_array_header_2_0(stream), stream.tell())
    if version == (3, 0):
        return _parsed_version_3(stream)
    raise ValueError(f"version {version} of .npy files is not known")


def _parsed_version_3(stream: BytesIO) -> Header:
    """Have numpy read a header in UTF-8 as one of version 2.0, its other letters as escapes.

    Numpy has no public function for it, but to decode the whole array.
    """
    length = int.from_bytes(stream.read(4), "little")
    header = stream.read(length)
    text = header.decode()
    plain = text.encode("ascii", "backslashreplace")
    claimed = (length - len(header) + len(plain)).to_bytes(4, "little")  # more: it is cut off
    fields = npy_format.read_array_header_2_0(
        BytesIO(claimed + plain), max_header_size=_LETTERS_MAX - len(text) + len(plain)
    )
    return Header(*fields, stream.tell())


@lru_cache(_REMEMBERED)
def _written(dtype: np.dtype[Any], shape: tuple[int, ...], by_columns: bool) -> bytes:
    """Return the header of an array of a plain type, as numpy writes it."""
    header = f"{{'descr': '{dtype.str}', 'fortran_order': {by_columns}, 'shape': {shape}, }}"
    if shape:
        header += " " * (_AXIS_DIGITS - len(str(shape[-1 if by_columns else 0])))
    filling = _ALIGNMENT - (_FIXED + len(header) + 1) % _ALIGNMENT
    length = (len(header) + filling + 1).to_bytes(2, "little")
    return b"".join((_VERSION_1, length, header.encode(), b" " * filling, b"\n"))


def _written_by_numpy(dtype: np.dtype[Any], shape: tuple[int, ...], by_columns: bool) -> bytes:
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


def _is_aligned(data: memoryview, dtype: np.dtype[Any]) -> bool:
    return bool(np.frombuffer(data, np.uint8, count=1).ctypes.data % dtype.alignment == 0)
