"""FedOpt: the mean change of the clients' models is a gradient for an optimizer on the server.

Kept between rounds: three models, namely the one sent and the two moments.

Source: Reddi et al., ICLR 2021, arXiv:2003.00295, Algorithm 2.
"""

from abc import abstractmethod
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flwr.app.arrayrecord import ArrayRecord
from flwr.app.configrecord import ConfigRecord
from flwr.app.console_log import logger
from flwr.app.message import Message
from flwr.app.metricrecord import MetricRecord
from flwr.serverapp.exception import AggregationError
from flwr.serverapp.grid import Grid
from flwr.serverapp.strategy.aggregate import NamedArrays, to_ndarrays, to_record
from flwr.serverapp.strategy.fedavg import FedAvg, MetricsAggregation
from flwr.serverapp.strategy.strategy import folding


class FedOpt(FedAvg):
    """Base of strategies with an adaptive optimizer on the server.

    Args:
        eta: learning rate of the server.
        eta_l: learning rate of the clients, for information.
        beta_1: how slowly the first moment moves, in [0, 1).
        beta_2: how slowly the second moment moves, in [0, 1).
        tau: keeps the step finite where the second moment is 0; in the unit of the weights.

    The others are those of ``FedAvg``.
    """

    def __init__(
        self,
        *,
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
        eta: float = 1e-1,
        eta_l: float = 1e-1,
        beta_1: float = 0.0,
        beta_2: float = 0.0,
        tau: float = 1e-3,
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
        self.eta, self.eta_l, self.tau = eta, eta_l, tau
        self.beta_1, self.beta_2 = beta_1, beta_2
        self.current_arrays: NamedArrays | None = None
        self.m_t: NamedArrays | None = None
        self.v_t: NamedArrays | None = None

    def summary(self) -> None:
        """Log the settings."""
        logger.info("\t├──> FedOpt settings:")
        logger.info("\t│\t├── eta (%.6g) | eta_l (%.6g)", self.eta, self.eta_l)
        logger.info("\t│\t├── beta_1 (%.6g) | beta_2 (%.6g)", self.beta_1, self.beta_2)
        logger.info("\t│\t└── tau (%.6g)", self.tau)
        super().summary()

    def configure_train(
        self,
        server_round: int,
        arrays: ArrayRecord,
        config: ConfigRecord,
        grid: Grid,
    ) -> Iterable[Message]:
        """Keep the model, against which the change is measured, and send it."""
        self.current_arrays = to_ndarrays(arrays)
        return super().configure_train(server_round, arrays, config, grid)

    @folding
    def aggregate_train(
        self,
        server_round: int,
        replies: Iterable[Message],
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return the model one optimizer step away from the present one, and the mean metrics.

        Raises:
            AggregationError: no model was sent before, or names or shapes differ from it.
            InconsistentMessageReplies: the replies do not have one form.
        """
        mean, metrics = super().aggregate_train(server_round, replies)
        if mean is None:
            return mean, metrics
        old = self._require_current()
        change = changes(old, mean)
        if self.m_t is None or self.v_t is None:
            self.m_t = {name: np.zeros_like(delta) for name, delta in change.items()}
            self.v_t = {name: np.zeros_like(delta) for name, delta in change.items()}
        stepped: NamedArrays = {}
        for name, delta in change.items():
            self.m_t[name], self.v_t[name] = self.moments(self.m_t[name], self.v_t[name], delta)
            step = self.step(server_round, self.m_t[name], self.v_t[name])
            # The bias correction is a float64; the model keeps its own type.
            stepped[name] = np.asarray(old[name] + step, dtype=delta.dtype)
        return to_record(stepped), metrics

    @abstractmethod
    def moments(
        self,
        m: NDArray[Any],
        v: NDArray[Any],
        delta: NDArray[Any],
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Return the moments of one array after seeing the change ``delta``; all of one shape."""

    def step(
        self,
        server_round: int,  # noqa: ARG002  FedAdam corrects for it
        m: NDArray[Any],
        v: NDArray[Any],
    ) -> NDArray[Any]:
        """Return ``eta * m / (sqrt(v) + tau)``, to be added to an array of these moments."""
        return np.asarray(self.eta * m / (np.sqrt(v) + self.tau))

    def _require_current(self) -> NamedArrays:
        if self.current_arrays is None:
            raise AggregationError(
                "there is no present model to step from: configure_train comes before "
                "aggregate_train",
            )
        return self.current_arrays


def changes(old: NamedArrays, mean: ArrayRecord) -> NamedArrays:
    """Return ``mean - old`` by name.

    Raises:
        AggregationError: names or shapes differ.
    """
    require_fit(old, mean)
    return {name: array.numpy() - old[name] for name, array in mean.items()}


def require_fit(old: NamedArrays, new: ArrayRecord) -> None:
    """Check that a model is one like that sent.

    Raises:
        AggregationError: names or shapes differ.
    """
    if old.keys() != new.keys():
        raise AggregationError(
            f"the replies have the arrays {sorted(new)}, the model sent has {sorted(old)}",
        )
    for name, array in new.items():
        if array.shape != old[name].shape:
            raise AggregationError(
                f"array '{name}' has shape {array.shape} in the replies and {old[name].shape} in "
                "the model sent",
            )
