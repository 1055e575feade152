"""Central differential privacy around any strategy: what its four wrappers have in common.

The updates of a round are clipped, by the server or by the clients, and noise as large as one
clipped update may need is added to the aggregate.

Memory: server-side clipping replaces the arrays of each reply in place.

Source: McMahan et al., ICLR 2018, arXiv:1710.06963; Andrew et al., NeurIPS 2021, arXiv:1905.03871.
"""

import math
from abc import abstractmethod
from collections.abc import Iterable

import numpy as np

from flwr.app.array import Array
from flwr.app.arrayrecord import ArrayRecord
from flwr.app.clipping import scale_update, update_norm
from flwr.app.configrecord import ConfigRecord
from flwr.app.console_log import logger
from flwr.app.message import Message
from flwr.app.metricrecord import MetricRecord
from flwr.serverapp.exception import InconsistentMessageReplies
from flwr.serverapp.grid import Grid
from flwr.serverapp.strategy.aggregate import to_ndarrays
from flwr.serverapp.strategy.fedopt import require_fit
from flwr.serverapp.strategy.replies import outline, without_misfits
from flwr.serverapp.strategy.strategy import Strategy

CLIPPING_NORM_KEY = "clipping_norm"
"""Key of the norm in the ConfigRecord that is sent for client-side clipping."""


class DifferentialPrivacyWrapper(Strategy):
    """A strategy whose training is private; the other half of a round is the strategy's own.

    The guarantee holds for a mean of ``num_sampled_clients`` equally weighted updates; another
    number of replies is warned about. A round with an error reply is skipped, and so is one with a
    reply that is refused because it is unlike the model sent.

    Attributes:
        strategy: chooses nodes and aggregates.
        noise_multiplier: standard deviation of the noise, in clipping norms per client.
        clipping_norm: the longest an update may be, L2 over all arrays, in the unit of weights.
        num_sampled_clients: how many train in a round.
    """

    clipping = ""
    """How and where updates are clipped, for ``repr``."""

    def __init__(
        self,
        strategy: Strategy,
        noise_multiplier: float,
        clipping_norm: float,
        num_sampled_clients: int,
    ) -> None:
        super().__init__()
        require(noise_multiplier >= 0, "noise_multiplier", noise_multiplier, "cannot be negative")
        require(clipping_norm > 0, "the clipping norm", clipping_norm, "must be above 0")
        require(
            num_sampled_clients > 0, "num_sampled_clients", num_sampled_clients, "must be above 0"
        )
        self.strategy = strategy
        self.noise_multiplier = noise_multiplier
        self.clipping_norm = clipping_norm
        self.num_sampled_clients = num_sampled_clients

    def __repr__(self) -> str:
        return f"Differential Privacy Strategy Wrapper ({self.clipping})"

    def aggregate_train(
        self,
        server_round: int,
        replies: Iterable[Message],
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Return the strategy's aggregate with noise, and its metrics as they are.

        Raises:
            AggregationError: a reply does not fit what was sent or asked for.
        """
        received = list(self._refuse_misfits(replies))
        norm = self.clipping_norm  # the noise hides an update of this length, whatever comes next
        if not self._are_usable(received) or not self._clip(received):
            return None, None
        arrays, metrics = self.strategy.aggregate_train(server_round, received)
        return None if arrays is None else self._with_noise(arrays, norm), metrics

    def configure_evaluate(
        self,
        server_round: int,
        arrays: ArrayRecord,
        config: ConfigRecord,
        grid: Grid,
    ) -> Iterable[Message]:
        """Return the strategy's messages."""
        return self.strategy.configure_evaluate(server_round, arrays, config, grid)

    def aggregate_evaluate(
        self,
        server_round: int,
        replies: Iterable[Message],
    ) -> MetricRecord | None:
        """Return the strategy's metrics."""
        return self.strategy.aggregate_evaluate(server_round, replies)

    @abstractmethod
    def _clip(self, replies: list[Message]) -> bool:
        """Clip the updates, or see how they were; False skips the round. All have content."""

    def _are_usable(self, replies: list[Message]) -> bool:
        """Tell whether the round can be counted, with a log line if not."""
        failed = [reply for reply in replies if reply.has_error()]
        for reply in failed:
            logger.info(
                "Received error in reply from node %d: %s",
                reply.metadata.src_node_id,
                reply.error.reason,
            )
        if failed:
            logger.info("aggregate_train: Some clients reported errors. Skipping aggregation.")
        elif len(replies) != self.num_sampled_clients:
            logger.warning(
                "%d clients replied, but the noise is meant for num_sampled_clients=%d: the "
                "privacy of this round may be weaker than stated",
                len(replies),
                self.num_sampled_clients,
            )
        return bool(replies) and not failed

    def _with_noise(self, arrays: ArrayRecord, norm: float) -> ArrayRecord:
        """Return ``arrays`` plus N(0, noise_multiplier * norm / num_sampled_clients).

        Floats keep their type; integers become float64.
        """
        stdev = self.noise_multiplier * norm / self.num_sampled_clients
        noisy = ArrayRecord()
        for name, array in arrays.items():
            exact = array.numpy()
            # numpy's global generator: apps seed it to repeat an experiment.
            noise = np.asarray(np.random.normal(0, stdev, exact.shape))  # noqa: NPY002
            if np.issubdtype(exact.dtype, np.inexact):
                noise = noise.astype(exact.dtype)
            noisy[name] = Array(np.asarray(exact + noise))
        logger.info("aggregate_train: central DP noise with %.4f stdev added", stdev)
        return noisy


class ServerSideClipping(DifferentialPrivacyWrapper):
    """Clips each update on the server, against the model it sent.

    All arrays are clipped; upstream leaves those without dimensions as long as they are.
    """

    def __init__(
        self,
        strategy: Strategy,
        noise_multiplier: float,
        clipping_norm: float,
        num_sampled_clients: int,
    ) -> None:
        super().__init__(strategy, noise_multiplier, clipping_norm, num_sampled_clients)
        self.current_arrays = ArrayRecord()

    def configure_train(
        self,
        server_round: int,
        arrays: ArrayRecord,
        config: ConfigRecord,
        grid: Grid,
    ) -> Iterable[Message]:
        """Keep the model, against which updates are measured; return the strategy's messages."""
        self.current_arrays = arrays
        return self.strategy.configure_train(server_round, arrays, config, grid)

    def _refuse_misfits(self, replies: Iterable[Message]) -> Iterable[Message]:
        return without_misfits(replies, outline(self.current_arrays))

    def _clip(self, replies: list[Message]) -> bool:
        current = to_ndarrays(self.current_arrays)
        models = [_only_model(reply) for reply in replies]
        for model in models:
            require_fit(current, model)
        lengths = [update_norm(current, model) for model in models]
        for reply, length in zip(replies, lengths, strict=True):
            if not math.isfinite(length):  # no factor makes it short
                logger.warning(
                    "The update of node %d is not finite, so it cannot be clipped. Skipping "
                    "aggregation.",
                    reply.metadata.src_node_id,
                )
                return False
        for model, length in zip(models, lengths, strict=True):
            if length > self.clipping_norm:
                scale_update(current, model, self.clipping_norm / length)
        logger.info("aggregate_train: updates are clipped to norm %.4f", self.clipping_norm)
        self._saw_clipped(sum(length > self.clipping_norm for length in lengths), len(replies))
        return True

    def _saw_clipped(self, count: int, total: int) -> None:
        """Learn that ``count`` of ``total`` updates were too long."""


class ClientSideClipping(DifferentialPrivacyWrapper):
    """Sends the norm, to which a mod of the ClientApp clips its update."""

    def configure_train(
        self,
        server_round: int,
        arrays: ArrayRecord,
        config: ConfigRecord,
        grid: Grid,
    ) -> Iterable[Message]:
        """Add the norm to the configuration and return the strategy's messages."""
        config[CLIPPING_NORM_KEY] = self.clipping_norm
        return self.strategy.configure_train(server_round, arrays, config, grid)

    def _refuse_misfits(self, replies: Iterable[Message]) -> Iterable[Message]:
        return self.strategy._refuse_misfits(replies)  # noqa: SLF001  a strategy's own, of our kind

    def _clip(self, replies: list[Message]) -> bool:  # noqa: ARG002  clients did it
        return True


def require(holds: bool, name: str, value: float, rule: str) -> None:
    """Check an argument.

    Raises:
        ValueError: the rule does not hold.
    """
    if not holds:
        raise ValueError(f"{name} is {value}; it {rule}")


def _only_model(reply: Message) -> ArrayRecord:
    records = list(reply.content.array_records.values())
    if len(records) != 1:
        raise InconsistentMessageReplies(
            f"each reply must carry exactly one ArrayRecord, that of node "
            f"{reply.metadata.src_node_id} carries {len(records)}",
        )
    return records[0]
