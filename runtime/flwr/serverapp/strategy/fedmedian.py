"""FedMedian: the element-wise median of the clients' models, which a minority cannot move far.

Needs all replies at once, as a median cannot be kept running; beside their bytes, one array of all
of them is decoded at a time.

Source: Yin et al., ICML 2018, arXiv:1803.01498, Definition 1.
"""

from collections.abc import Iterable

from flwr.app.arrayrecord import ArrayRecord
from flwr.app.message import Message
from flwr.app.metricrecord import MetricRecord
from flwr.serverapp.strategy.aggregate import median, only_arrays, to_record
from flwr.serverapp.strategy.fedavg import FedAvg


class FedMedian(FedAvg):
    """The median of the models, unweighted; metrics are weighted means as in ``FedAvg``."""

    def aggregate_train(
        self,
        server_round: int,  # noqa: ARG002  named by the contract, subclasses use it
        replies: Iterable[Message],
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return the element-wise median of the models, and the mean metrics.

        Raises:
            InconsistentMessageReplies: the replies do not have one form.
        """
        contents = self._accept_trained(replies)
        if not contents:
            return None, None
        arrays = to_record(median([only_arrays(content) for content in contents]))
        return arrays, self.train_metrics_aggr_fn(contents, self.weighted_by_key)
