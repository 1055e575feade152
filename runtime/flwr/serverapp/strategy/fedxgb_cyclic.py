"""FedXgbCyclic: one client after the other continues the model.

Source: Chang et al., JAMIA 25(8), 2018 (cyclical weight transfer); Chen and Guestrin, KDD 2016,
arXiv:1603.02754 (XGBoost).
"""

from collections.abc import Iterable

from flwr.app.arrayrecord import ArrayRecord
from flwr.app.configrecord import ConfigRecord
from flwr.app.console_log import logger
from flwr.app.message import Message
from flwr.app.message_type import MessageType
from flwr.app.metricrecord import MetricRecord
from flwr.serverapp.grid import Grid
from flwr.serverapp.strategy.aggregate import only_arrays
from flwr.serverapp.strategy.cohort import sample_nodes
from flwr.serverapp.strategy.fedavg import ROUND_KEY, FedAvg, MetricsAggregation

_MIN_NODES = 2


class FedXgbCyclic(FedAvg):
    """In round r, node ``(r - 1) mod n`` of the n online ones trains and evaluates alone.

    Nodes keep the place in the order in which they were first seen; those seen together are
    ordered at random. The model may be anything, usually the bytes of an XGBoost booster.

    Args:
        fraction_train: 1.0, or 0.0 to skip training.
        fraction_evaluate: 1.0, or 0.0 to skip evaluation.

    The others are those of ``FedAvg``; at least 2 nodes must be online.

    Raises:
        ValueError: a fraction is neither 0.0 nor 1.0.
    """

    def __init__(
        self,
        fraction_train: float = 1.0,
        fraction_evaluate: float = 1.0,
        min_available_nodes: int = 2,
        weighted_by_key: str = "num-examples",
        arrayrecord_key: str = "arrays",
        configrecord_key: str = "config",
        train_metrics_aggr_fn: MetricsAggregation | None = None,
        evaluate_metrics_aggr_fn: MetricsAggregation | None = None,
    ) -> None:
        _require_all_or_none("fraction_train", fraction_train)
        _require_all_or_none("fraction_evaluate", fraction_evaluate)
        super().__init__(
            fraction_train,
            fraction_evaluate,
            _MIN_NODES,
            _MIN_NODES,
            min_available_nodes,
            weighted_by_key,
            arrayrecord_key,
            configrecord_key,
            train_metrics_aggr_fn,
            evaluate_metrics_aggr_fn,
        )
        self.registered_nodes: dict[int, int] = {}

    def configure_train(
        self,
        server_round: int,
        arrays: ArrayRecord,
        config: ConfigRecord,
        grid: Grid,
    ) -> Iterable[Message]:
        """Send the model to the node whose turn it is."""
        if self.fraction_train == 0.0:
            return []
        config[ROUND_KEY] = server_round
        node = self._node_in_turn("configure_train", server_round, grid)
        return self._address([node], MessageType.TRAIN, arrays, config)

    def aggregate_train(
        self,
        server_round: int,  # noqa: ARG002  named by the contract, subclasses use it
        replies: Iterable[Message],
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return the model of the reply, and its metrics.

        Raises:
            InconsistentMessageReplies: the reply does not have the form of one.
            AggregationError: its weight is 0.
        """
        contents = self._accept_trained(replies)
        if not contents:
            return None, None
        metrics = self.train_metrics_aggr_fn(contents, self.weighted_by_key)
        return only_arrays(contents[0]), metrics

    def configure_evaluate(
        self,
        server_round: int,
        arrays: ArrayRecord,
        config: ConfigRecord,
        grid: Grid,
    ) -> Iterable[Message]:
        """Send the model to the node whose turn it is."""
        if self.fraction_evaluate == 0.0:
            return []
        config[ROUND_KEY] = server_round
        node = self._node_in_turn("configure_evaluate", server_round, grid)
        return self._address([node], MessageType.EVALUATE, arrays, config)

    def _node_in_turn(self, stage: str, server_round: int, grid: Grid) -> int:
        size = max(len(list(grid.get_node_ids())), _MIN_NODES)
        shuffled, online = sample_nodes(grid, self.min_available_nodes, size)
        for node in shuffled:
            self.registered_nodes.setdefault(node, len(self.registered_nodes) + 1)
        in_order = sorted(shuffled, key=self.registered_nodes.__getitem__)
        logger.info("%s: Sampled %s nodes (out of %s)", stage, 1, len(online))
        return in_order[(server_round - 1) % len(in_order)]


def _require_all_or_none(name: str, fraction: float) -> None:
    if fraction not in {0.0, 1.0}:
        raise ValueError(
            f"{name} is {fraction}; FedXgbCyclic takes 1.0, or 0.0 to skip that half of a round",
        )
