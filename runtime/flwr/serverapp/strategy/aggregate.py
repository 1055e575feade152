"""Pure mathematics of aggregation; no logging, no messages, no node ids."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from flwr.app.array import Array
from flwr.app.arrayrecord import ArrayRecord
from flwr.app.metricrecord import MetricRecord
from flwr.app.recorddict import RecordDict
from flwr.serverapp.exception import AggregationError, InconsistentMessageReplies

NamedArrays = dict[str, NDArray[Any]]


class NoWeightError(AggregationError, ZeroDivisionError):
    """All weights of a round are 0; apps written for upstream may expect the ZeroDivisionError."""

    exit_code: ClassVar[int] = AggregationError.exit_code


def shares(weights: Sequence[float]) -> list[float]:
    """Return each weight divided by their sum.

    Raises:
        NoWeightError: the sum is 0.
    """
    total = sum(weights)
    if total == 0:
        raise NoWeightError(
            "the weights of all replies add up to 0, so there is no weighted mean; "
            "make every ClientApp report how many examples it used",
        )
    return [weight / total for weight in weights]


def weighted_sum(weighted: Iterable[tuple[ArrayRecord, float]]) -> NamedArrays:
    """Add up ``share * array`` per name, over records in the order given.

    A running sum: beside the sums, one decoded array is in memory at a time.

    Args:
        weighted: records of equal names and shapes, each with its share.

    Returns:
        Arrays in the dtype of the first record, integers as float64.

    Raises:
        InconsistentMessageReplies: shapes differ.
    """
    sums: NamedArrays = {}
    for record, share in weighted:
        for name, array in record.items():
            _add_term(sums, name, array, share)
    return sums


def median(records: Sequence[ArrayRecord]) -> NamedArrays:
    """Return the element-wise median per name; every reply counts the same.

    One array of all replies is decoded at a time.

    Raises:
        InconsistentMessageReplies: shapes differ.

    Source: Yin et al., ICML 2018, arXiv:1803.01498.
    """
    return {
        name: np.asarray(np.median(stacked(records, name), axis=0, overwrite_input=True))
        for name in records[0]
    }


def stacked(records: Sequence[ArrayRecord], name: str) -> NDArray[Any]:
    """Return array ``name`` of n records as one fresh array of shape ``(n, *shape)``.

    Raises:
        InconsistentMessageReplies: shapes differ.
    """
    shape = records[0][name].shape
    dtype = np.result_type(*(record[name].dtype for record in records))
    stack = np.empty((len(records), *shape), dtype)
    for index, record in enumerate(records):
        array = record[name].numpy()
        _require_shape(name, array, shape)
        stack[index] = array
    return stack


def aggregate_arrayrecords(
    records: list[RecordDict],
    weighting_metric_name: str,
) -> ArrayRecord:
    """Return the mean of the only ArrayRecord of each reply, weighted by one of its metrics.

    Raises:
        NoWeightError: the weights add up to 0.
        InconsistentMessageReplies: shapes differ.
    """
    pairs = zip(map(only_arrays, records), _shares_of(records, weighting_metric_name), strict=True)
    return to_record(weighted_sum(pairs))


def aggregate_metricrecords(
    records: list[RecordDict],
    weighting_metric_name: str,
) -> MetricRecord:
    """Return the weighted mean of every other metric, lists element by element.

    Raises:
        NoWeightError: the weights add up to 0.
        InconsistentMessageReplies: a metric is a list of another length, or no list, elsewhere.
    """
    all_shares = _shares_of(records, weighting_metric_name)
    sums = MetricRecord()
    for record, share in zip(records, all_shares, strict=True):
        for name, value in only_metrics(record).items():
            if name != weighting_metric_name:
                sums[name] = _add_metric(name, sums.get(name), value, share)
    return sums


def to_record(arrays: Mapping[str, NDArray[Any]]) -> ArrayRecord:
    """Return ``arrays`` as an ArrayRecord."""
    return ArrayRecord({name: Array(np.asarray(array)) for name, array in arrays.items()})


def to_ndarrays(record: ArrayRecord) -> NamedArrays:
    """Return ``record`` as fresh ndarrays by name."""
    return {name: array.numpy() for name, array in record.items()}


def only_arrays(content: RecordDict) -> ArrayRecord:
    """Return the first ArrayRecord of a reply that was checked to have one."""
    return next(iter(content.array_records.values()))


def only_metrics(content: RecordDict) -> MetricRecord:
    """Return the first MetricRecord of a reply that was checked to have one."""
    return next(iter(content.metric_records.values()))


def _shares_of(records: list[RecordDict], weight_key: str) -> list[float]:
    weights = [only_metrics(record)[weight_key] for record in records]
    return shares([weight for weight in weights if not isinstance(weight, list)])


def _add_term(sums: NamedArrays, name: str, array: Array, share: float) -> None:
    """Add one array; a function of its own, so that the decoded term dies before the next one."""
    term = _scaled(array.numpy(), share)
    if name not in sums:
        sums[name] = term
        return
    _require_shape(name, term, sums[name].shape)
    np.add(sums[name], term, out=sums[name], casting="same_kind")


def _scaled(fresh: NDArray[Any], share: float) -> NDArray[Any]:
    """Return ``fresh * share``, in place where the dtype stays the same."""
    if np.issubdtype(fresh.dtype, np.inexact):
        np.multiply(fresh, share, out=fresh)
        return fresh
    return np.asarray(fresh * share)


def _require_shape(name: str, array: NDArray[Any], shape: tuple[int, ...]) -> None:
    if array.shape != shape:
        raise InconsistentMessageReplies(
            f"array '{name}' has shape {array.shape} in one reply and {shape} in another",
        )


def _add_metric(
    name: str,
    total: float | list[int] | list[float] | None,
    value: float | list[int] | list[float],
    share: float,
) -> float | list[float]:
    if isinstance(value, list):
        if total is None:
            return [element * share for element in value]
        if isinstance(total, list) and len(total) == len(value):
            return [so_far + v * share for so_far, v in zip(total, value, strict=True)]
    elif not isinstance(total, list):
        return value * share if total is None else total + value * share
    raise InconsistentMessageReplies(
        f"metric '{name}' is a list in one reply and no list, or one of another length, elsewhere",
    )
