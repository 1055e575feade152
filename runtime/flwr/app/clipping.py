"""Clipping the update of a model to a norm.

Source: McMahan et al., ICLR 2018, arXiv:1710.06963, Algorithm 1 (flat clipping).
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flwr.app.array import Array
from flwr.app.arrayrecord import ArrayRecord


def update_norm(old: Mapping[str, NDArray[Any]], new: ArrayRecord) -> float:
    """Return the L2 norm of ``new - old`` over all arrays together; NaN or inf if one is inside.

    Args:
        old: arrays of the names and shapes of ``new``.
        new: decoded one array at a time.
    """
    squares = (_squared_norm(array.numpy(), old[name]) for name, array in new.items())
    return float(np.sqrt(sum(squares)))


def scale_update(old: Mapping[str, NDArray[Any]], new: ArrayRecord, factor: float) -> None:
    """Replace, in ``new``, each array x by ``old + (x - old) * factor``.

    Floats keep their type; integers become float64.

    Args:
        old: arrays of the names and shapes of ``new``.
        new: changed in place.
        factor: ``norm / update_norm`` clips the update to ``norm``.
    """
    for name in new:
        new[name] = _scaled(new[name].numpy(), old[name], factor)


def _squared_norm(new: NDArray[Any], old: NDArray[Any]) -> float:
    # Float64: the squares of float16 overflow. inf - inf is NaN, which the caller asks about.
    with np.errstate(invalid="ignore", over="ignore"):
        difference = np.subtract(new, old, dtype=np.float64).ravel()
        return float(difference @ difference)


def _scaled(new: NDArray[Any], old: NDArray[Any], factor: float) -> Array:
    clipped = old + np.subtract(new, old, dtype=np.float64) * factor
    return Array(np.asarray(clipped, new.dtype if np.issubdtype(new.dtype, np.inexact) else None))
