"""Pure mathematics of aggregation; no logging, no messages, no node ids."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flwr.app.array import Array
from flwr.app.arrayrecord import ArrayRecord
from flwr.app.metricrecord import MetricRecord
from flwr.app.recorddict import RecordDict, records_of
from flwr.serverapp.exception import InconsistentMessageReplies
from flwr.serverapp.strategy.mean import WeightedMean, require_weight

NamedArrays = dict[str, NDArray[Any]]


def shares(weights: Sequence[float]) -> list[float]:
    """Return each weight divided by their sum.

    Raises:
        NoWeightError: the sum is 0.
    """
    total = sum(weights)
    require_weight(total)
    return [weight / total for weight in weights]


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
    weights = [weight_of(record, weighting_metric_name) for record in records]
    mean = WeightedMean(sum(weights))
    for record, weight in zip(records, weights, strict=True):
        mean.add(only_arrays(record), weight)
    return mean.result()


def aggregate_metricrecords(
    records: list[RecordDict],
    weighting_metric_name: str,
) -> MetricRecord:
    """Return the weighted mean of every other metric, lists element by element.

    Raises:
        NoWeightError: the weights add up to 0.
        InconsistentMessageReplies: a metric is a list of another length, or no list, elsewhere.
    """
    all_shares = shares([weight_of(record, weighting_metric_name) for record in records])
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
    return next(iter(records_of(content, ArrayRecord).values()))


def only_metrics(content: RecordDict) -> MetricRecord:
    """Return the first MetricRecord of a reply that was checked to have one."""
    return next(iter(records_of(content, MetricRecord).values()))


def weight_of(content: RecordDict, weight_key: str) -> float:
    """Return the weight of a reply that was checked to have one."""
    weight = only_metrics(content)[weight_key]
    assert not isinstance(weight, list)
    return weight


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
