"""FedXgbBagging: every client adds trees to one forest.

Kept while folding: the parsed booster and one parsed reply.

Source: Breiman, Machine Learning 24, 1996 (bagging); Chen and Guestrin, KDD 2016,
arXiv:1603.02754 (XGBoost).
"""

from collections.abc import Iterable
from typing import ClassVar

import numpy as np

from flwr.app.array import Array
from flwr.app.arrayrecord import ArrayRecord
from flwr.app.configrecord import ConfigRecord
from flwr.app.message import Message
from flwr.app.metricrecord import MetricRecord
from flwr.serverapp.exception import AggregationError, InconsistentMessageReplies
from flwr.serverapp.grid import Grid
from flwr.serverapp.strategy.aggregate import only_arrays
from flwr.serverapp.strategy.boosters import grow
from flwr.serverapp.strategy.fedavg import FedAvg


class FedXgbBagging(FedAvg):
    """Appends the newest trees of every reply to the booster; metrics as in ``FedAvg``.

    The model is one array: the JSON text of an XGBoost booster as uint8 of shape ``(bytes,)``,
    empty before the first round. A ClientApp replies with a booster of the trees it added; the
    first boosting iteration of it counts.

    The arguments are those of ``FedAvg``.
    """

    _keeps_shapes: ClassVar[bool] = False  # a booster is as long as its text
    current_bst: bytes | None = None

    def configure_train(
        self,
        server_round: int,
        arrays: ArrayRecord,
        config: ConfigRecord,
        grid: Grid,
    ) -> Iterable[Message]:
        """Keep the booster, to which trees are added, and send it.

        Raises:
            InconsistentMessageReplies: the model is not one array.
        """
        self.current_bst = _only_booster(arrays)[1]
        return super().configure_train(server_round, arrays, config, grid)

    def aggregate_train(
        self,
        server_round: int,  # noqa: ARG002  named by the contract, subclasses use it
        replies: Iterable[Message],
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return the booster with the trees of all replies, and the mean metrics.

        Raises:
            AggregationError: no booster was sent before, or one is not of trees.
            InconsistentMessageReplies: the replies do not have one form, or not one array.
        """
        contents = self._accept_trained(replies)
        if not contents:
            return None, None
        if self.current_bst is None:
            raise AggregationError(
                "there is no present booster to add trees to: configure_train comes before "
                "aggregate_train",
            )
        name = _only_booster(only_arrays(contents[0]))[0]
        boosters = (_only_booster(only_arrays(content))[1] for content in contents)
        self.current_bst = grow(self.current_bst, boosters)
        arrays = ArrayRecord({name: Array(np.frombuffer(self.current_bst, np.uint8))})
        return arrays, self.train_metrics_aggr_fn(contents, self.weighted_by_key)


def _only_booster(record: ArrayRecord) -> tuple[str, bytes]:
    """Return the name and the bytes of the only array."""
    if len(record) != 1:
        raise InconsistentMessageReplies(
            f"the model of FedXgbBagging is exactly one array, the bytes of a booster; an "
            f"ArrayRecord has {len(record)}: {list(record)}",
        )
    ((name, array),) = record.items()
    return name, array.numpy().tobytes()
