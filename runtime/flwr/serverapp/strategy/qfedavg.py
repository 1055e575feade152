"""QFedAvg: clients of a higher loss move the model more, so that all end up closer together.

Kept while folding: the model sent, one sum of its size and one decoded array, however many replies
there are.

Source: Li et al., ICLR 2020, arXiv:1905.10497, Algorithm 2.
"""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flwr.app.arrayrecord import ArrayRecord
from flwr.app.configrecord import ConfigRecord
from flwr.app.console_log import logger
from flwr.app.message import Message
from flwr.app.metricrecord import MetricRecord
from flwr.app.recorddict import RecordDict
from flwr.serverapp.exception import AggregationError
from flwr.serverapp.grid import Grid
from flwr.serverapp.strategy.aggregate import (
    NamedArrays,
    only_arrays,
    only_metrics,
    to_ndarrays,
    to_record,
)
from flwr.serverapp.strategy.fedavg import FedAvg, MetricsAggregation
from flwr.serverapp.strategy.fedopt import require_fit

_EPSILON = 1e-10
"""Added to a loss, so that a loss of 0 has a power of every exponent; upstream's number."""


class QFedAvg(FedAvg):
    """Fair federated averaging: a step weighted by each client's loss to the power of q.

    Args:
        client_learning_rate: of the clients' optimizer; its inverse estimates the Lipschitz
            constant L of the loss's gradient. Above 0.
        q: 0.0 weights all clients equally, more is fairer; not negative.
        train_loss_key: metric of a reply that is its loss before training, not negative.

    The others are those of ``FedAvg``.

    Raises:
        ValueError: ``client_learning_rate`` or ``q`` is out of range.
    """

    def __init__(
        self,
        client_learning_rate: float,
        q: float = 0.1,
        train_loss_key: str = "train_loss",
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
        if client_learning_rate <= 0:
            raise ValueError(f"client_learning_rate is {client_learning_rate}; it must be above 0")
        if q < 0:
            raise ValueError(f"q is {q}; it cannot be negative")
        self.q = q
        self.client_learning_rate = client_learning_rate
        self.train_loss_key = train_loss_key
        self.current_arrays: ArrayRecord | None = None

    def summary(self) -> None:
        """Log the settings."""
        logger.info("\t├──> q-FedAvg settings:")
        logger.info("\t│\t├── client_learning_rate: %s", self.client_learning_rate)
        logger.info("\t│\t├── q: %s", self.q)
        logger.info("\t│\t└── train_loss_key: '%s'", self.train_loss_key)
        super().summary()

    def configure_train(
        self,
        server_round: int,
        arrays: ArrayRecord,
        config: ConfigRecord,
        grid: Grid,
    ) -> Iterable[Message]:
        """Keep the model, against which the change is measured, and send it."""
        self.current_arrays = arrays
        return super().configure_train(server_round, arrays, config, grid)

    def aggregate_train(
        self,
        server_round: int,  # noqa: ARG002  named by the contract, subclasses use it
        replies: Iterable[Message],
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return the model one fair step away from the present one, and the mean metrics.

        Raises:
            AggregationError: a loss is missing or no number of at least 0; no model was sent
                before, or names or shapes differ from it.
            InconsistentMessageReplies: the replies do not have one form.
        """
        contents = self._accept_trained(replies)
        if not contents:
            return None, None
        if self.current_arrays is None:
            raise AggregationError(
                "there is no present model to step from: configure_train comes before "
                "aggregate_train",
            )
        step = FairStep(to_ndarrays(self.current_arrays), 1 / self.client_learning_rate, self.q)
        for content in contents:
            step.add(only_arrays(content), train_loss(content, self.train_loss_key))
        arrays = to_record(step.stepped())
        return arrays, self.train_metrics_aggr_fn(contents, self.weighted_by_key)


class FairStep:
    """Running sums of one round: ``sum F^q g`` and ``sum h``.

    Per client, with g = L * (old - local) and F = loss + 1e-10::

        h = q * F^(q-1) * ||g||^2 + L * F^q

    and the new model is ``old - sum(F^q g) / sum(h)``.

    Args:
        old: the model sent.
        lipschitz: L, above 0.
        q: not negative.
    """

    def __init__(self, old: NamedArrays, lipschitz: float, q: float) -> None:
        self._old, self._lipschitz, self._q = old, lipschitz, q
        # Float16 would overflow, integers cannot hold a step.
        self._sums = {
            name: np.zeros(array.shape, np.result_type(array.dtype, np.float32))
            for name, array in old.items()
        }
        self._sum_h = 0.0

    def add(self, local: ArrayRecord, loss: float) -> None:
        """Count one client.

        Raises:
            AggregationError: names or shapes differ from the model sent.
        """
        require_fit(self._old, local)
        power = (loss + _EPSILON) ** self._q
        squared_norm = sum(
            _add_gradient(total, self._old[name], local[name].numpy(), self._lipschitz, power)
            for name, total in self._sums.items()
        )
        slope = self._q * (loss + _EPSILON) ** (self._q - 1)
        self._sum_h += slope * squared_norm + self._lipschitz * power

    def stepped(self) -> NamedArrays:
        """Return the new model: floats in the type they were sent in, integers as float64."""
        return {
            name: (old - self._sums[name] / self._sum_h).astype(
                old.dtype if np.issubdtype(old.dtype, np.inexact) else np.float64,
                copy=False,
            )
            for name, old in self._old.items()
        }


def train_loss(content: RecordDict, key: str) -> float:
    """Return the loss a reply reports.

    Raises:
        AggregationError: it is missing, or no finite number of at least 0.
    """
    loss = only_metrics(content).get(key)
    if not isinstance(loss, int | float) or not math.isfinite(loss) or loss < 0:
        raise AggregationError(
            f"QFedAvg needs the training loss '{key}' in the metrics of every reply, a finite "
            f"number of at least 0; one of them has {'none' if loss is None else loss}. "
            "Name the metric by train_loss_key",
        )
    return float(loss)


def _add_gradient(
    total: NDArray[Any],
    old: NDArray[Any],
    local: NDArray[Any],
    lipschitz: float,
    power: float,
) -> float:
    """Add ``power * g`` to ``total`` and return the squared norm of g."""
    gradient = np.subtract(old, local, dtype=total.dtype)
    gradient *= lipschitz
    squared_norm = float(np.einsum("i,i->", gradient.ravel(), gradient.ravel(), dtype=np.float64))
    gradient *= power
    total += gradient
    return squared_norm
