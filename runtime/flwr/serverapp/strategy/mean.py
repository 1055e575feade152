"""A weighted mean of models that takes one reply after the other and keeps none of them."""

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from flwr.app.array import Array, peek
from flwr.app.arrayrecord import ArrayRecord
from flwr.serverapp.exception import AggregationError, InconsistentMessageReplies

_BLOCK: Final = (
    65_536  # elements multiplied at once, so that products stay in the processor's cache
)


class NoWeightError(AggregationError, ZeroDivisionError):
    """All weights of a round are 0; apps written for upstream may expect the ZeroDivisionError."""

    exit_code = AggregationError.exit_code


class WeightedMean:
    """Adds up ``weight * array`` per name; beside the sums it needs next to no memory.

    With the total known, each model is multiplied by its share of it, as upstream does.  Without,
    weights are taken relative to the first that is not 0, and the sum is divided in the end: the
    same mean but for the last bits.

    Args:
        total: sum of all weights; None: not known yet.

    Raises:
        NoWeightError: ``total`` is 0.
    """

    def __init__(self, total: float | None = None) -> None:
        if total is not None:
            require_weight(total)
        self._unit, self._is_total_known = total or 0.0, total is not None
        self._total = 0.0  # in units
        self._sums: dict[str, NDArray[Any]] = {}
        self._dtypes: dict[str, np.dtype[Any]] = {}

    def add(self, record: ArrayRecord, weight: float) -> None:
        """Add a record of the same names and shapes as the others.

        Raises:
            InconsistentMessageReplies: shapes differ.
        """
        self._unit = self._unit or weight
        factor = weight / self._unit if self._unit else 0.0
        self._total += factor
        for name, array in record.items():
            self._add(name, peek(array), factor)

    def result(self) -> ArrayRecord:
        """Return the mean in the types of the first record, integers as float64; ends the sums.

        Raises:
            NoWeightError: the weights add up to 0.
        """
        mean = ArrayRecord()
        if not self._is_total_known:
            require_weight(self._total)
        for name in list(self._sums):
            total = self._sums.pop(name)
            if not self._is_total_known:
                np.divide(total, self._total, out=total)
            mean[name] = Array(np.asarray(total.astype(self._dtypes[name], copy=False)))
        return mean

    def _add(self, name: str, array: NDArray[Any], factor: float) -> None:
        if name not in self._sums:
            self._dtypes[name] = dtype = _type_of_mean(array.dtype)
            is_widened = dtype == np.float16 and not self._is_total_known  # its range is small
            self._sums[name] = np.zeros_like(array, dtype=np.float32 if is_widened else dtype)
        total = self._sums[name]
        if array.shape != total.shape:
            raise InconsistentMessageReplies(
                f"array '{name}' has shape {array.shape} in one reply and {total.shape} in another",
            )
        if array.strides and array.flags.f_contiguous != total.flags.f_contiguous:
            array = np.asarray(array, order="F" if total.flags.f_contiguous else "C")
        _add_product(_flat(total), _flat(array), factor)


def require_weight(total: float) -> None:
    """Refuse to divide by a sum of weights that is 0.

    Raises:
        NoWeightError: it is.
    """
    if total == 0:
        raise NoWeightError(
            "the weights of all replies add up to 0, so there is no weighted mean; "
            "make every ClientApp report how many examples it used",
        )


def _add_product(total: NDArray[Any], array: NDArray[Any], factor: float) -> None:
    """Add ``factor * array`` to ``total``, both of one axis, block by block."""
    product = np.empty(min(_BLOCK, array.size), total.dtype)
    for start in range(0, array.size, _BLOCK):
        part = array[start : start + _BLOCK]
        if factor != 1:
            part = np.multiply(
                part, factor, out=product[: part.size], dtype=total.dtype, casting="same_kind"
            )
        sums = total[start : start + _BLOCK]
        np.add(sums, part, out=sums, casting="same_kind")


def _flat(array: NDArray[Any]) -> NDArray[Any]:
    """Return the elements of a contiguous array on one axis, in the order of memory, not copied."""
    return array.reshape(-1, order="F" if array.flags.f_contiguous else "C")


def _type_of_mean(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return dtype if np.issubdtype(dtype, np.inexact) else np.dtype(np.float64)
