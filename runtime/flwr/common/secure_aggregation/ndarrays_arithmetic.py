"""Arithmetic on models as lists of ndarrays; every function returns new arrays."""

from typing import Any

import numpy as np

from flwr.common.typing import NDArray, NDArrays

default_numpy_dtype: "np.dtype[Any]" = np.dtype(np.int64)


def factor_combine(factor: int, parameters: NDArrays) -> NDArrays:
    """Return ``parameters`` with ``factor`` as one more array in front."""
    return [np.array([factor]), *parameters]


def factor_extract(parameters: NDArrays) -> tuple[int, NDArrays]:
    """Undo ``factor_combine``."""
    return parameters[0][0], parameters[1:]


def get_parameters_shape(parameters: NDArrays) -> list[tuple[int, ...]]:
    """Return the shape of each array."""
    return [array.shape for array in parameters]


def get_zero_parameters(
    dimensions_list: list[tuple[int, ...]], dtype: "np.dtype[Any]" = default_numpy_dtype
) -> NDArrays:
    """Return arrays of zeros."""
    return [np.zeros(dimensions, dtype) for dimensions in dimensions_list]


def parameters_addition(parameters1: NDArrays, parameters2: NDArrays) -> NDArrays:
    """Return the sums, array by array."""
    return [np.asarray(one + other) for one, other in _pairs(parameters1, parameters2)]


def parameters_subtraction(parameters1: NDArrays, parameters2: NDArrays) -> NDArrays:
    """Return the differences, array by array."""
    return [np.asarray(one - other) for one, other in _pairs(parameters1, parameters2)]


def parameters_mod(parameters: NDArrays, divisor: int) -> NDArrays:
    """Return the remainders, from 0 to ``divisor - 1``."""
    return [np.asarray(array % divisor) for array in parameters]


def parameters_multiply(parameters: NDArrays, multiplier: float) -> NDArrays:
    """Return the products."""
    return [np.asarray(array * multiplier) for array in parameters]


def parameters_divide(parameters: NDArrays, divisor: float) -> NDArrays:
    """Return the quotients."""
    return [np.asarray(array / divisor) for array in parameters]


def _pairs(one: NDArrays, other: NDArrays) -> "zip[tuple[NDArray, NDArray]]":
    return zip(one, other, strict=True)
