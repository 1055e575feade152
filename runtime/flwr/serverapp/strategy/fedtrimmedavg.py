"""FedTrimmedAvg: the element-wise mean without the smallest and the largest values.

Needs all replies at once, as a trimmed mean cannot be kept running; beside their bytes, one array
of all of them is decoded at a time.

Source: Yin et al., ICML 2018, arXiv:1803.01498, Definition 2.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flwr.app.arrayrecord import ArrayRecord
from flwr.app.console_log import logger
from flwr.app.message import Message
from flwr.app.metricrecord import MetricRecord
from flwr.serverapp.exception import AggregationError
from flwr.serverapp.strategy.aggregate import only_arrays, stacked, to_record
from flwr.serverapp.strategy.fedavg import FedAvg, MetricsAggregation


class FedTrimmedAvg(FedAvg):
    """The trimmed mean of the models, unweighted; metrics are weighted means as in ``FedAvg``.

    Args:
        beta: share of the replies that is cut at either end, in [0, 0.5).

    The others are those of ``FedAvg``.
    """

    def __init__(
        self,
        fraction_train: float = 1.0,
        fraction_evaluate: float = 1.0,
        min_train_nodes: int = 2,
        min_evaluate_nodes: int = 2,
        min_available_nodes: int = 2,
        weighted_by_key: str = "num-examples",
        arrayrecord_key: str = "arrays",
        configrecord_key: str = "config",
        train_metrics_aggr_fn: MetricsAggregation | None = None,
        evaluate_metrics_aggr_fn: MetricsAggregation | None = None,
        beta: float = 0.2,
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
        self.beta = beta

    def summary(self) -> None:
        """Log the settings."""
        logger.info("\t├──> FedTrimmedAvg settings:")
        logger.info("\t│\t└── beta: %s", self.beta)
        super().summary()

    def aggregate_train(
        self,
        server_round: int,  # noqa: ARG002  named by the contract, subclasses use it
        replies: Iterable[Message],
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return the trimmed mean of the models, and the mean metrics.

        Raises:
            AggregationError: ``beta`` leaves no reply to average.
            InconsistentMessageReplies: the replies do not have one form.
        """
        contents = self._accept_trained(replies)
        if not contents:
            return None, None
        records = [only_arrays(content) for content in contents]
        means = {name: trim_mean(stacked(records, name), self.beta) for name in records[0]}
        return to_record(means), self.train_metrics_aggr_fn(contents, self.weighted_by_key)


def trim_mean(array: NDArray[Any], cut_fraction: float) -> NDArray[Any]:
    """Return the mean over axis 0 without the ``int(cut_fraction * n)`` lowest and highest values.

    Args:
        array: shape ``(n, *shape)``, one row per reply.
        cut_fraction: in [0, 0.5); NaN counts as higher than any number.

    Returns:
        Shape ``shape``; floats keep their type, integers become float64.

    Raises:
        AggregationError: nothing would be left.
    """
    rows = len(array)
    cut = int(cut_fraction * rows)
    if cut < 0 or 2 * cut >= rows:
        raise AggregationError(
            f"beta={cut_fraction} is {'negative' if cut < 0 else 'too large'}: it cuts {cut} of "
            f"{rows} replies at either end; choose it in [0, 0.5)",
        )
    kept = np.partition(array, (cut, rows - cut - 1), axis=0)[cut : rows - cut]
    return np.asarray(kept.mean(axis=0))
