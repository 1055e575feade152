"""ndarrays as ``Parameters`` and back."""

from typing import Any

import numpy as np

from flwr.app.array import NUMPY_STYPE
from flwr.app.npy import decode_ndarray, encode_ndarray
from flwr.common.typing import NDArray, NDArrays, Parameters


def ndarrays_to_parameters(ndarrays: NDArrays) -> Parameters:
    """Return ``ndarrays`` as the bytes of one ``.npy`` file each.

    Raises:
        ValueError: one holds Python objects.
    """
    return Parameters([ndarray_to_bytes(ndarray) for ndarray in ndarrays], NUMPY_STYPE)


def parameters_to_ndarrays(parameters: Parameters) -> NDArrays:
    """Return fresh, writable ndarrays.

    Raises:
        ValueError: a tensor is no ``.npy`` file, or holds pickled objects.
    """
    return [bytes_to_ndarray(tensor) for tensor in parameters.tensors]


def ndarray_to_bytes(ndarray: NDArray) -> bytes:
    """Return the bytes of a ``.npy`` file; a bare number becomes an array without axes.

    Raises:
        ValueError: it holds Python objects.
    """
    return encode_ndarray(np.asarray(ndarray))


def bytes_to_ndarray(tensor: bytes) -> NDArray:
    """Return the array in the bytes of a ``.npy`` file.

    Raises:
        ValueError: they are none, or hold pickled objects.
    """
    ndarray: np.ndarray[Any, Any] = decode_ndarray(tensor)
    return ndarray
