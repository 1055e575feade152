"""Floats as integers of a fixed range and back, so that they can be added modulo a number."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def quantize(
    arrays: Sequence[NDArray[Any]], clipping_range: float, target_range: int
) -> list[NDArray[np.int64]]:
    """Map [-clipping_range, clipping_range] to the integers 0 to ``target_range``.

    What lies outside is clipped.  Rounding is random and right on average: 2.3 becomes 3 in three
    of ten cases, so that sums over many clients do not drift.

    Args:
        arrays: real numbers of any shape.
        clipping_range: positive, in the unit of the arrays.
        target_range: the largest integer, positive.

    Returns:
        Arrays of the same shapes.

    Raises:
        ValueError: a range is not positive, or a number is NaN.

    Source: Alistarh et al., NeurIPS 2017, arXiv:1610.02132 (unbiased rounding).
    """
    _check_ranges(clipping_range, target_range)
    return [_quantize(array, clipping_range, target_range) for array in arrays]


def dequantize(
    arrays: Sequence[NDArray[Any]], clipping_range: float, target_range: int
) -> list[NDArray[np.float64]]:
    """Map 0 to ``target_range`` back to [-clipping_range, clipping_range].

    Also for the sum of n quantized vectors, if (n - 1) * clipping_range is subtracted afterwards.

    Raises:
        ValueError: a range is not positive.
    """
    _check_ranges(clipping_range, target_range)
    step = 2 * clipping_range / target_range
    return [np.asarray(array * step - clipping_range, np.float64) for array in arrays]


def _quantize(array: NDArray[Any], clipping_range: float, target: int) -> NDArray[np.int64]:
    if np.isnan(array).any():
        raise ValueError("an array holds NaN, which no integer can stand for")
    exact = np.clip(np.asarray(array, np.float64), -clipping_range, clipping_range)
    exact = (exact + clipping_range) * (target / (2 * clipping_range))
    upper = np.ceil(exact)
    # numpy's global generator: an app that seeds it gets the same model again.  It hides nothing.
    steps_down = np.random.random_sample(exact.shape) < upper - exact  # noqa: NPY002  see above
    return np.asarray(upper - steps_down).astype(np.int64)


def _check_ranges(clipping_range: float, target_range: int) -> None:
    if not (clipping_range > 0 and target_range > 0):
        raise ValueError(f"ranges must be positive, got {clipping_range} and {target_range}")
