"""A weighted mean of models that takes one reply after the other and keeps none of them."""

from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from flwr.app.array import Array, own, scan
from flwr.app.arrayrecord import ArrayRecord
from flwr.app.npy import Header
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
        self._orders: dict[str, Literal["C", "F"]] = {}

    def add(self, record: ArrayRecord, weight: float) -> None:
        """Add a record of the same names and shapes as the others.

        Raises:
            InconsistentMessageReplies: shapes differ.
        """
        self._unit = self._unit or weight
        factor = weight / self._unit if self._unit else 0.0
        self._total += factor
        for name, array in record.items():
            self._add(name, array, factor)

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
            mean[name] = own(total.astype(self._dtypes[name], copy=False))
        return mean

    def _add(self, name: str, array: Array, factor: float) -> None:
        header, blocks = scan(array)
        is_new = name not in self._sums
        if is_new:
            self._begin(name, header)
        total = self._sums[name]
        if header.shape != total.shape:
            raise InconsistentMessageReplies(
                f"array '{name}' has shape {header.shape} in one reply and {total.shape} in "
                "another",
            )
        order, at = self._orders[name], 0
        if header.order != order:
            blocks = iter([array.numpy().reshape(-1, order=order)])
        sums = total.reshape(-1, order=order)  # the same memory
        for block in blocks:
            _add_product(sums[at : at + block.size], block, factor, is_first=is_new)
            at += block.size

    def _begin(self, name: str, header: Header) -> None:
        self._dtypes[name] = dtype = _type_of_mean(header.dtype)
        self._orders[name] = header.order
        is_widened = dtype == np.float16 and not self._is_total_known  # its range is small
        sum_type = np.dtype(np.float32) if is_widened else dtype
        self._sums[name] = np.empty(header.shape, sum_type, header.order)


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


def _add_product(
    total: NDArray[Any], array: NDArray[Any], factor: float, *, is_first: bool
) -> None:
    """Add ``factor * array`` to ``total``, both of one axis, block by block.

    Args:
        total: the sum.
        array: what is added.
        factor: its weight.
        is_first: there is no sum yet.
    """
    product = np.empty(min(_BLOCK, array.size), total.dtype)
    for start in range(0, array.size, _BLOCK):
        part, sums = array[start : start + _BLOCK], total[start : start + _BLOCK]
        out = sums if is_first else product[: part.size]
        if factor != 1 or is_first:
            part = np.multiply(part, factor, out=out, dtype=total.dtype, casting="same_kind")
        if not is_first:
            np.add(sums, part, out=sums, casting="same_kind")


def _type_of_mean(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return dtype if np.issubdtype(dtype, np.inexact) else np.dtype(np.float64)
