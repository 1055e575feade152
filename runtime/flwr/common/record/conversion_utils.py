"""A legacy way to make an ``Array``."""

from flwr.app.array import Array
from flwr.common.typing import NDArray


def array_from_numpy(ndarray: NDArray) -> Array:
    """Return ``Array(ndarray)``, which is what to write."""
    return Array(ndarray)
