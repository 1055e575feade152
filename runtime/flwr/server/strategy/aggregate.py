"""Pure mathematics of the legacy strategies, on models given as lists of ndarrays."""

from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from typing import Any

import numpy as np

from flwr.app import ArrayRecord, RecordDict
from flwr.common.parameter import parameters_to_ndarrays
from flwr.common.typing import FitRes, NDArray, NDArrays
from flwr.server.client_proxy import ClientProxy
from flwr.serverapp.strategy.aggregate import shares
from flwr.serverapp.strategy.bulyan import aggregate_n_closest_weights
from flwr.serverapp.strategy.fedtrimmedavg import trim_mean
from flwr.serverapp.strategy.multikrum import select_multikrum

Results = list[tuple[NDArrays, int]]
"""Models, each with the number of examples it was trained on."""


def aggregate(results: Results) -> NDArrays:
    """Return the mean of the models, weighted by their examples.

    Raises:
        AggregationError: there are no examples at all.
    """
    shares([count for _, count in results])  # refuses a total of 0
    total = sum(count for _, count in results)
    layers = zip(*(model for model, _ in results), strict=True)
    counts = [count for _, count in results]
    return [
        np.asarray(_sum(array * count for array, count in zip(layer, counts, strict=True)) / total)
        for layer in layers
    ]


def aggregate_inplace(results: list[tuple[ClientProxy, FitRes]]) -> NDArrays:
    """Return the weighted mean like ``aggregate``; beside it, one model is decoded at a time.

    Raises:
        AggregationError: there are no examples at all.
    """
    parts = shares([answer.num_examples for _, answer in results])
    total: NDArrays = []
    for (_, answer), share in zip(results, parts, strict=True):
        model = [_scaled(x, share) for x in parameters_to_ndarrays(answer.parameters)]
        if not total:
            total = model
            continue
        for index, term in enumerate(model):
            total[index] = np.asarray(total[index] + term)
    return total


def aggregate_median(results: Results) -> NDArrays:
    """Return the element-wise median.

    Source: Yin et al., ICML 2018, arXiv:1803.01498.
    """
    layers = zip(*(model for model, _ in results), strict=True)
    return [np.asarray(np.median(np.stack(layer), axis=0)) for layer in layers]


def aggregate_trimmed_avg(results: Results, proportiontocut: float) -> NDArrays:
    """Return the element-wise mean without the extremes.

    Args:
        results: models.
        proportiontocut: share of the models dropped at each end.

    Source: Yin et al., ICML 2018, arXiv:1803.01498.
    """
    layers = zip(*(model for model, _ in results), strict=True)
    return [trim_mean(np.stack(layer), proportiontocut) for layer in layers]


def aggregate_krum(results: Results, num_malicious: int, to_keep: int) -> NDArrays:
    """Return the model that lies closest to most of the others, or the mean of several such.

    Args:
        results: models.
        num_malicious: how many of them may be malicious.
        to_keep: how many are averaged; 0 returns the best as it is.

    Source: Blanchard et al., NeurIPS 2017, arXiv:1703.02757.
    """
    contents = [RecordDict({"arrays": ArrayRecord(list(model))}) for model, _ in results]
    kept = select_multikrum(contents, num_malicious, max(to_keep, 1))
    position = {id(content): index for index, content in enumerate(contents)}
    best = [results[position[id(content)]] for content in kept]
    return aggregate(best[::-1]) if to_keep > 0 else best[0][0]


def aggregate_bulyan(
    results: Results,
    num_malicious: int,
    aggregation_rule: Callable[..., NDArrays],
    **aggregation_rule_kwargs: Any,
) -> NDArrays:
    """Return, per element, the mean around the median of models that a rule chose one by one.

    Args:
        results: at least ``4 * num_malicious + 3`` models.
        num_malicious: how many of them may be malicious.
        aggregation_rule: returns the best of models, as ``aggregate_krum`` does.
        aggregation_rule_kwargs: further arguments of the rule.

    Raises:
        ValueError: there are too few models.

    Source: El Mhamdi et al., ICML 2018, arXiv:1802.07927.
    """
    wanted = 4 * num_malicious + 3
    if len(results) < wanted:
        raise ValueError(
            f"Bulyan needs at least {wanted} models (4 * num_malicious + 3), got {len(results)}"
        )
    if aggregation_rule is aggregate_krum:
        aggregation_rule_kwargs = {"to_keep": 0} | aggregation_rule_kwargs
    left = list(results)
    chosen: list[NDArrays] = []
    for _ in range(len(results) - 2 * num_malicious):
        best = aggregation_rule(left, num_malicious, **aggregation_rule_kwargs)
        index = _index_of(best, [model for model, _ in left])
        chosen.append(left.pop(index)[0])
    center = aggregate_median([(model, 1) for model in chosen])
    beta = len(chosen) - 2 * num_malicious
    return aggregate_n_closest_weights(center, chosen, beta)


def aggregate_qffl(
    parameters: NDArrays, deltas: list[NDArrays], hs_fll: list[NDArrays]
) -> NDArrays:
    """Return ``parameters`` less the sum of ``deltas`` over the sum of ``hs_fll``.

    Source: Li et al., ICLR 2020, arXiv:1905.10497, Algorithm 2.
    """
    divisor = float(np.sum(hs_fll))
    steps = [[layer / divisor for layer in delta] for delta in deltas]
    layers = zip(parameters, zip(*steps, strict=True), strict=True)
    return [np.asarray(old - _sum(terms)) for old, terms in layers]


def weighted_loss_avg(results: list[tuple[int, float]]) -> float:
    """Return the mean of (number of examples, loss), weighted by the examples.

    Raises:
        AggregationError: there are no examples at all.
    """
    counts = [count for count, _ in results]
    shares(counts)  # refuses a total of 0
    return sum(count * loss for count, loss in results) / sum(counts)


def _scaled(fresh: NDArray, share: float) -> NDArray:
    """Return ``fresh * share``, computed in float64 and kept in the dtype of ``fresh``."""
    if not np.issubdtype(fresh.dtype, np.inexact):
        return np.asarray(fresh * share)
    np.multiply(fresh, np.float64(share), out=fresh, casting="same_kind")
    return fresh


def _sum(terms: Iterable[NDArray]) -> NDArray:
    return reduce(np.add, terms)


def _index_of(wanted: NDArrays, models: Sequence[NDArrays]) -> int:
    for index, model in enumerate(models):
        if all(np.array_equal(a, b) for a, b in zip(wanted, model, strict=True)):
            return index
    raise ValueError("the aggregation rule of Bulyan must return one of the models it was given")
