"""MultiKrum: federated averaging over the models that lie closest to most of the others.

Needs all replies at once, to compare each with each; beside their bytes, one array of all of them
is decoded at a time, in the worst case as float64 once more.

Source: Blanchard et al., NeurIPS 2017, arXiv:1703.02757.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flwr.app.arrayrecord import ArrayRecord
from flwr.app.console_log import logger
from flwr.app.message import Message
from flwr.app.metricrecord import MetricRecord
from flwr.app.recorddict import RecordDict
from flwr.serverapp.strategy.aggregate import aggregate_arrayrecords, only_arrays, stacked
from flwr.serverapp.strategy.fedavg import FedAvg, MetricsAggregation


class MultiKrum(FedAvg):
    """Weighted mean of the ``num_nodes_to_select`` replies that score best, metrics alike.

    Of n replies, at most f may come from malicious nodes; the proof wants ``n >= 2 * f + 3``.

    Args:
        num_malicious_nodes: f, not negative.
        num_nodes_to_select: how many replies are kept, at least 1; all if there are fewer.

    The others are those of ``FedAvg``.

    Raises:
        ValueError: a number is too small.
    """

    def __init__(
        self,
        fraction_train: float = 1.0,
        fraction_evaluate: float = 1.0,
        min_train_nodes: int = 2,
        min_evaluate_nodes: int = 2,
        min_available_nodes: int = 2,
        num_malicious_nodes: int = 0,
        num_nodes_to_select: int = 1,
        weighted_by_key: str = "num-examples",
        arrayrecord_key: str = "arrays",
        configrecord_key: str = "config",
        train_metrics_aggr_fn: MetricsAggregation | None = None,
        evaluate_metrics_aggr_fn: MetricsAggregation | None = None,
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
        if num_nodes_to_select < 1:
            raise ValueError(
                f"num_nodes_to_select is {num_nodes_to_select}; at least 1 reply must be kept",
            )
        self.num_malicious_nodes = num_malicious_nodes
        self.num_nodes_to_select = num_nodes_to_select

    def summary(self) -> None:
        """Log the settings."""
        logger.info("\t├──> MultiKrum settings:")
        logger.info("\t│\t├── Number of malicious nodes: %d", self.num_malicious_nodes)
        logger.info("\t│\t└── Number of nodes to select: %d", self.num_nodes_to_select)
        super().summary()

    def aggregate_train(
        self,
        server_round: int,  # noqa: ARG002  named by the contract, subclasses use it
        replies: Iterable[Message],
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return the weighted means of models and metrics over the replies kept.

        Raises:
            InconsistentMessageReplies: the replies do not have one form.
            AggregationError: the weights of those kept are 0.
        """
        contents = self._accept_trained(replies)
        if not contents:
            return None, None
        kept = select_multikrum(contents, self.num_malicious_nodes, self.num_nodes_to_select)
        arrays = aggregate_arrayrecords(kept, self.weighted_by_key)
        return arrays, self.train_metrics_aggr_fn(kept, self.weighted_by_key)


def select_multikrum(
    contents: list[RecordDict],
    num_malicious_nodes: int,
    num_nodes_to_select: int,
) -> list[RecordDict]:
    """Return the contents of the lowest scores, best first; of equals the earlier one.

    The score of a model is the sum of the squared distances to its ``max(1, n - f - 2)`` nearest
    others.
    """
    distances = compute_distances([only_arrays(content) for content in contents])
    near = max(1, len(contents) - num_malicious_nodes - 2)
    # Column 0 of a sorted row is the distance to the model itself, or to one equal to it.
    scores = np.sort(distances, axis=1)[:, 1 : near + 1].sum(axis=1)
    best = np.argsort(scores, kind="stable")[:num_nodes_to_select]
    return [contents[index] for index in best]


def compute_distances(records: Sequence[ArrayRecord]) -> NDArray[Any]:
    """Return the squared L2 distances of n models, all arrays of one taken as one vector.

    Returns:
        Float64 of shape ``(n, n)``, symmetric, with a diagonal of 0; NaN beside a model with NaN.

    Raises:
        InconsistentMessageReplies: shapes differ.
    """
    count = len(records)
    distances = np.zeros((count, count))
    for name in records[0]:
        models = stacked(records, name).reshape(count, -1)
        for index in range(count - 1):
            distances[index, index + 1 :] += _squared_distances(models[index], models[index + 1 :])
    return distances + distances.T


def require_not_negative(num_malicious_nodes: int) -> None:
    """Check the number of malicious nodes.

    Raises:
        ValueError: it is negative.
    """
    if num_malicious_nodes < 0:
        raise ValueError(f"num_malicious_nodes is {num_malicious_nodes}; it cannot be negative")


def _squared_distances(model: NDArray[Any], others: NDArray[Any]) -> NDArray[Any]:
    # Float64: small integers and float16 would overflow. A model with inf gives inf or NaN, and so
    # the worst score.
    with np.errstate(invalid="ignore", over="ignore"):
        differences = np.subtract(others, model, dtype=np.float64)
        return np.asarray(np.einsum("ij,ij->i", differences, differences))
