"""Bulyan: per element, the mean of the values around the median, over replies chosen before.

Needs all replies at once; beside their bytes, one array of all of them is decoded at a time.

Source: El Mhamdi et al., ICML 2018, arXiv:1802.07927.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flwr.app.arrayrecord import ArrayRecord
from flwr.app.console_log import logger
from flwr.app.message import Message
from flwr.app.metricrecord import MetricRecord
from flwr.app.recorddict import RecordDict
from flwr.serverapp.exception import AggregationError
from flwr.serverapp.strategy.aggregate import only_arrays, stacked, to_record
from flwr.serverapp.strategy.fedavg import FedAvg, MetricsAggregation
from flwr.serverapp.strategy.multikrum import require_not_negative, select_multikrum

SelectionRule = Callable[[list[RecordDict], int, int], list[RecordDict]]
"""Chooses among contents; gets f, the number of malicious nodes, and how many to choose."""


class Bulyan(FedAvg):
    """Mean around the median, over the ``n - 2 * f`` of n replies that a rule selects.

    A round of fewer than ``4 * f + 3`` replies is skipped with a warning.

    Args:
        num_malicious_nodes: f, how many replies may be malicious; not negative.
        selection_rule: chooses the replies; ``select_multikrum`` if absent.

    The others are those of ``FedAvg``.

    Raises:
        ValueError: ``num_malicious_nodes`` is negative.
    """

    def __init__(
        self,
        fraction_train: float = 1.0,
        fraction_evaluate: float = 1.0,
        min_train_nodes: int = 2,
        min_evaluate_nodes: int = 2,
        min_available_nodes: int = 2,
        num_malicious_nodes: int = 0,
        weighted_by_key: str = "num-examples",
        arrayrecord_key: str = "arrays",
        configrecord_key: str = "config",
        train_metrics_aggr_fn: MetricsAggregation | None = None,
        evaluate_metrics_aggr_fn: MetricsAggregation | None = None,
        selection_rule: SelectionRule | None = None,
    ) -> None:
        super().__init__(
            fraction_train,
            fraction_evaluate,
            min_train_nodes,
            min_evaluate_nodes,
            min_available_nodes,
            weighted_by_key,
            arrayrecord_key,
            configrecord_key,
            train_metrics_aggr_fn,
            evaluate_metrics_aggr_fn,
        )
        require_not_negative(num_malicious_nodes)
        self.num_malicious_nodes = num_malicious_nodes
        self.selection_rule = selection_rule or select_multikrum

    def summary(self) -> None:
        """Log the settings."""
        rule = getattr(self.selection_rule, "__name__", type(self.selection_rule).__name__)
        logger.info("\t├──> Bulyan settings:")
        logger.info("\t│\t├── Number of malicious nodes: %d", self.num_malicious_nodes)
        logger.info("\t│\t└── Selection rule: %s", rule)
        super().summary()

    def aggregate_train(
        self,
        server_round: int,  # noqa: ARG002  named by the contract, subclasses use it
        replies: Iterable[Message],
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return the mean around the median, and the metrics of the replies selected.

        Raises:
            AggregationError: the selection rule returned too few.
            InconsistentMessageReplies: the replies do not have one form.
        """
        contents = self._accept_trained(replies)
        wanted = 4 * self.num_malicious_nodes + 3
        if len(contents) < wanted:
            logger.warning(
                "Bulyan skips this round: %d replies are fewer than the %d that "
                "num_malicious_nodes=%d needs",
                len(contents),
                wanted,
                self.num_malicious_nodes,
            )
            return None, None
        theta = len(contents) - 2 * self.num_malicious_nodes
        selected = self.selection_rule(contents, self.num_malicious_nodes, theta)
        arrays = self._mean_around_median(selected, theta - 2 * self.num_malicious_nodes)
        return arrays, self.train_metrics_aggr_fn(selected, self.weighted_by_key)

    def _mean_around_median(self, selected: list[RecordDict], beta: int) -> ArrayRecord:
        if len(selected) < beta:
            raise AggregationError(
                f"the selection rule of Bulyan returned {len(selected)} replies, but {beta} are "
                "averaged per element; return as many as it is asked for",
            )
        records = [only_arrays(content) for content in selected]
        stacks = ((name, stacked(records, name)) for name in records[0])
        return to_record({n: mean_of_closest(np.median(s, axis=0), s, beta) for n, s in stacks})


def mean_of_closest(center: NDArray[Any], values: NDArray[Any], beta: int) -> NDArray[Any]:
    """Return, per element, the mean of the ``beta`` values closest to the center.

    Args:
        center: shape ``shape``.
        values: shape ``(n, *shape)``; which of several equally close ones count is arbitrary.
        beta: between 1 and n.

    Returns:
        Shape ``shape``; floats keep their type, integers become float64.
    """
    order = np.argpartition(np.abs(values - center), beta - 1, axis=0)
    return np.asarray(np.take_along_axis(values, order[:beta], axis=0).mean(axis=0))


def aggregate_n_closest_weights(
    ref_weights: Sequence[NDArray[Any]],
    weights_list: Sequence[Sequence[NDArray[Any]]],
    beta: int,
) -> list[NDArray[Any]]:
    """Return ``mean_of_closest`` per array, for models given as lists of arrays."""
    layers = zip(*weights_list, strict=True)
    return [
        mean_of_closest(center, np.stack(layer), beta)
        for center, layer in zip(ref_weights, layers, strict=True)
    ]
