"""Federated averaging: the mean of the clients' models, weighted by their examples.

Source: McMahan et al., AISTATS 2017, arXiv:1602.05629.
"""

from collections.abc import Callable, Iterable, Iterator
from types import MappingProxyType
from typing import ClassVar

from flwr.app.arrayrecord import ArrayRecord
from flwr.app.configrecord import ConfigRecord
from flwr.app.console_log import logger
from flwr.app.message import Message
from flwr.app.message_type import MessageType
from flwr.app.metricrecord import MetricRecord
from flwr.app.recorddict import RecordDict
from flwr.serverapp.grid import Grid
from flwr.serverapp.strategy.aggregate import (
    aggregate_arrayrecords,
    aggregate_metricrecords,
    only_arrays,
    weight_of,
)
from flwr.serverapp.strategy.cohort import sample_nodes
from flwr.serverapp.strategy.mean import WeightedMean
from flwr.serverapp.strategy.replies import (
    Outline,
    accept_replies,
    outline,
    whole,
    without_arrays,
    without_misfits,
)
from flwr.serverapp.strategy.strategy import Strategy, folding

ROUND_KEY = "server-round"
"""Key of the round in the ConfigRecord that is sent."""

MetricsAggregation = Callable[[list[RecordDict], str], MetricRecord]
"""Folds the metrics of the replies' contents; gets the weight's key, too."""


class FedAvg(Strategy):
    """Federated averaging.

    Args:
        fraction_train: share of the online nodes asked to train; 0.0 skips training.
        fraction_evaluate: share of the online nodes asked to evaluate; 0.0 skips evaluation.
        min_train_nodes: at least so many nodes train.
        min_evaluate_nodes: at least so many nodes evaluate.
        min_available_nodes: a round starts when so many are online.
        weighted_by_key: metric of a reply that is its weight.
        arrayrecord_key: name of the model in a message.
        configrecord_key: name of the configuration in a message.
        train_metrics_aggr_fn: folds metrics; the weighted mean if absent.
        evaluate_metrics_aggr_fn: folds metrics; the weighted mean if absent.
    """

    _keeps_shapes: ClassVar[bool] = True  # a reply's arrays are like those sent
    _sent: Outline = MappingProxyType({})  # of the round, as far as ``configure_train`` knows

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
    ) -> None:
        self.fraction_train = fraction_train
        self.fraction_evaluate = fraction_evaluate
        self.min_train_nodes = min_train_nodes
        self.min_evaluate_nodes = min_evaluate_nodes
        self.min_available_nodes = min_available_nodes
        self.weighted_by_key = weighted_by_key
        self.arrayrecord_key = arrayrecord_key
        self.configrecord_key = configrecord_key
        self.train_metrics_aggr_fn = train_metrics_aggr_fn or aggregate_metricrecords
        self.evaluate_metrics_aggr_fn = evaluate_metrics_aggr_fn or aggregate_metricrecords
        if self.fraction_evaluate == 0.0:
            self.min_evaluate_nodes = 0
            logger.warning(
                "fraction_evaluate is set to 0.0. Federated evaluation will be skipped.",
            )
        if self.fraction_train == 0.0:
            self.min_train_nodes = 0
            logger.warning("fraction_train is set to 0.0. Federated training will be skipped.")

    def summary(self) -> None:
        """Log the settings."""
        logger.info("\t├──> Sampling:")
        logger.info(
            "\t│\t├──Fraction: train (%.2f) | evaluate ( %.2f)",
            self.fraction_train,
            self.fraction_evaluate,
        )
        logger.info(
            "\t│\t├──Minimum nodes: train (%d) | evaluate (%d)",
            self.min_train_nodes,
            self.min_evaluate_nodes,
        )
        logger.info("\t│\t└──Minimum available nodes: %d", self.min_available_nodes)
        logger.info("\t└──> Keys in records:")
        logger.info("\t\t├── Weighted by: '%s'", self.weighted_by_key)
        logger.info("\t\t├── ArrayRecord key: '%s'", self.arrayrecord_key)
        logger.info("\t\t└── ConfigRecord key: '%s'", self.configrecord_key)

    def configure_train(
        self,
        server_round: int,
        arrays: ArrayRecord,
        config: ConfigRecord,
        grid: Grid,
    ) -> Iterable[Message]:
        """Send the model to a sample of the nodes."""
        if self.fraction_train == 0.0:
            return []
        cohort = self._sample("configure_train", grid, self.fraction_train, self.min_train_nodes)
        config[ROUND_KEY] = server_round
        if self._keeps_shapes:
            self._sent = outline(arrays)
        return self._address(cohort, MessageType.TRAIN, arrays, config)

    @folding
    def aggregate_train(
        self,
        server_round: int,  # noqa: ARG002  named by the contract, subclasses use it
        replies: Iterable[Message],
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return the weighted mean of the models and of the metrics.

        Raises:
            InconsistentMessageReplies: the replies do not have one form.
            AggregationError: all weights are 0.
        """
        if not isinstance(replies, Iterator):
            contents = self._accept_trained(replies)
            arrays = aggregate_arrayrecords(contents, self.weighted_by_key) if contents else None
        else:
            arrays, contents = self._fold(replies)
        if arrays is None:
            return None, None
        return arrays, self.train_metrics_aggr_fn(contents, self.weighted_by_key)

    def _fold(self, replies: Iterator[Message]) -> tuple[ArrayRecord | None, list[RecordDict]]:
        """Return the mean of models that are not kept, and what is kept of the replies."""
        mean, keep = WeightedMean(), _keeping(self.train_metrics_aggr_fn)

        def fold(content: RecordDict) -> RecordDict:
            mean.add(only_arrays(content), weight_of(content, self.weighted_by_key))
            return keep(content)

        contents = self._accept_trained(replies, keep=fold)
        return (mean.result() if contents else None), contents

    def configure_evaluate(
        self,
        server_round: int,
        arrays: ArrayRecord,
        config: ConfigRecord,
        grid: Grid,
    ) -> Iterable[Message]:
        """Send the model to a sample of the nodes."""
        if self.fraction_evaluate == 0.0:
            return []
        cohort = self._sample(
            "configure_evaluate",
            grid,
            self.fraction_evaluate,
            self.min_evaluate_nodes,
        )
        config[ROUND_KEY] = server_round
        return self._address(cohort, MessageType.EVALUATE, arrays, config)

    @folding
    def aggregate_evaluate(
        self,
        server_round: int,  # noqa: ARG002  named by the contract, subclasses use it
        replies: Iterable[Message],
    ) -> MetricRecord | None:
        """Return the weighted mean of the metrics.

        Raises:
            InconsistentMessageReplies: the replies do not have one form.
            AggregationError: all weights are 0.
        """
        contents = accept_replies(
            replies,
            stage="aggregate_evaluate",
            weighted_by_key=self.weighted_by_key,
            with_arrays=False,
            keep=_keeping(self.evaluate_metrics_aggr_fn),
        )
        if not contents:
            return None
        return self.evaluate_metrics_aggr_fn(contents, self.weighted_by_key)

    def _sample(self, stage: str, grid: Grid, fraction: float, at_least: int) -> list[int]:
        seen = list(grid.get_node_ids())
        size = max(int(len(seen) * fraction), at_least)
        cohort, online = sample_nodes(grid, self.min_available_nodes, size, seen=seen)
        logger.info("%s: Sampled %s nodes (out of %s)", stage, len(cohort), len(online))
        return cohort

    def _address(
        self,
        cohort: Iterable[int],
        message_type: str,
        arrays: ArrayRecord,
        config: ConfigRecord,
    ) -> list[Message]:
        """Return one message per node; all share one content, so that it is sent once."""
        content = RecordDict({self.arrayrecord_key: arrays, self.configrecord_key: config})
        return [Message(content, node_id, message_type) for node_id in cohort]

    def _refuse_misfits(self, replies: Iterable[Message]) -> Iterable[Message]:
        return without_misfits(replies, self._sent)

    def _accept_trained(
        self,
        replies: Iterable[Message],
        keep: Callable[[RecordDict], RecordDict] = whole,
    ) -> list[RecordDict]:
        return accept_replies(
            self._refuse_misfits(replies),
            stage="aggregate_train",
            weighted_by_key=self.weighted_by_key,
            with_arrays=True,
            keep=keep,
        )


def _keeping(aggregate: MetricsAggregation) -> Callable[[RecordDict], RecordDict]:
    """Return what to keep of a content until ``aggregate`` is called."""
    return without_arrays if aggregate is aggregate_metricrecords else whole
