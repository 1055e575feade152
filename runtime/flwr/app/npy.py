"""The ``.npy`` format without pickling: ndarray to bytes and back, with one copy each way."""

from io import BytesIO
from math import prod
from typing import Any, Final

import numpy as np
from numpy.lib import format as npy_format
from numpy.typing import NDArray

_HEADER_MAX: Final = 16_384  # bytes; numpy itself refuses longer ones


def encode_ndarray(ndarray: NDArray[Any]) -> bytes:
    """Return ``ndarray`` as the bytes of a ``.npy`` file, equal to what ``numpy.save`` writes.

    Raises:
        ValueError: it holds Python objects, which only pickling could write.
    """
    if ndarray.dtype.hasobject:
        raise ValueError("Object arrays cannot be sent: they would need pickling")
    header = BytesIO()
    fields = npy_format.header_data_from_array_1_0(ndarray)
    npy_format.write_array_header_1_0(header, fields)
    # numpy's rule: an array that is contiguous by columns only is written by columns.
    elements = ndarray.T if fields["fortran_order"] else ndarray
    return b"".join((header.getvalue(), _raw(np.ascontiguousarray(elements))))


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
    stream = BytesIO(data[:_HEADER_MAX])
    version = npy_format.read_magic(stream)
    if version == (1, 0):
        shape, by_columns, dtype = npy_format.read_array_header_1_0(stream)
    elif version == (2, 0):
        shape, by_columns, dtype = npy_format.read_array_header_2_0(stream)
    else:
        return np.asarray(np.load(BytesIO(data), allow_pickle=False))
    if dtype.hasobject:
        raise ValueError("Object arrays cannot be read: they would need unpickling")
    count = prod(shape)
    if not count:
        return np.empty(shape, dtype)
    flat = np.frombuffer(data, dtype, count=count, offset=stream.tell())
    return flat.reshape(shape, order="F" if by_columns else "C")


def _raw(contiguous: NDArray[Any]) -> memoryview | bytes:
    """Return the elements as bytes, without a copy where the type has a buffer."""
    if contiguous.size == 0 or contiguous.dtype.kind not in "biufc":
        return contiguous.tobytes()
    return contiguous.reshape(-1).view(np.uint8).data
