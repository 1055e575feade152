"""Central differential privacy with a norm that follows a quantile of the updates' lengths.

After each round, with b the share of updates that were too long, blurred by noise::

    C <- C * exp(-clip_norm_lr * (b - target_clipped_quantile))

Learning b costs some of the privacy, for which the aggregate gets more noise:
``z' = (z^-2 - (2 * clipped_count_stddev)^-2)^(-1/2)`` clipping norms per client instead of z.

Source: Andrew et al., NeurIPS 2021, arXiv:1905.03871, Algorithm 1 and Theorem 1, with upstream's
change, kept so that equal runs give equal norms: in the paper b is the share of updates *within* C,
which C therefore nears; here C moves away from it. The privacy is the same; the usefulness is not,
so prefer a fixed norm. Other than upstream, and like the paper, the noise of a round is that of the
norm its updates were clipped to, not of the next one.
"""

import math

import numpy as np

from flwr.app.console_log import logger
from flwr.app.message import Message
from flwr.serverapp.exception import AggregationError
from flwr.serverapp.strategy.dp_wrapper import (
    ClientSideClipping,
    DifferentialPrivacyWrapper,
    ServerSideClipping,
    require,
)
from flwr.serverapp.strategy.strategy import Strategy

NORM_BIT_KEY = "norm_bit"
"""Metric of a reply: 1 if the client had to scale its update down, else 0."""

_STDDEV_SHARE = 1 / 20  # of the clients; the paper's choice

_MUCH_NOISE = 2.0  # times the noise asked for; upstream warns from there


class _AdaptiveClipping(DifferentialPrivacyWrapper):
    """A wrapper whose norm moves by the share of updates that were too long."""

    def __init__(
        self,
        strategy: Strategy,
        noise_multiplier: float,
        num_sampled_clients: int,
        initial_clipping_norm: float = 0.1,
        target_clipped_quantile: float = 0.5,
        clip_norm_lr: float = 0.2,
        clipped_count_stddev: float | None = None,
    ) -> None:
        super().__init__(strategy, noise_multiplier, initial_clipping_norm, num_sampled_clients)
        quantile, stddev = target_clipped_quantile, clipped_count_stddev
        require(0 <= quantile <= 1, "target_clipped_quantile", quantile, "must be in [0, 1]")
        require(clip_norm_lr > 0, "clip_norm_lr", clip_norm_lr, "must be above 0")
        if stddev is None:
            stddev = num_sampled_clients * _STDDEV_SHARE if noise_multiplier > 0 else 0.0
        require(stddev >= 0, "clipped_count_stddev", stddev, "cannot be negative")
        self.target_clipped_quantile = target_clipped_quantile
        self.clip_norm_lr = clip_norm_lr
        self.clipped_count_stddev = stddev
        self.noise_multiplier = effective_noise_multiplier(noise_multiplier, stddev)

    def summary(self) -> None:
        """Log the settings, then those of the strategy."""
        logger.info("\t├──> DP settings:")
        logger.info("\t│\t├── Noise multiplier: %s", self.noise_multiplier)
        logger.info("\t│\t├── Clipping norm: %s", self.clipping_norm)
        logger.info("\t│\t├── Target clipped quantile: %s", self.target_clipped_quantile)
        logger.info("\t│\t└── Clip norm learning rate: %s", self.clip_norm_lr)
        self.strategy.summary()

    def _adapt(self, count: int, total: int) -> None:
        """Move the norm after ``count`` of ``total`` updates were too long."""
        # numpy's global generator: apps seed it to repeat an experiment.
        noisy = np.random.normal(count, self.clipped_count_stddev)  # noqa: NPY002
        surplus = noisy / total - self.target_clipped_quantile
        self.clipping_norm *= math.exp(-self.clip_norm_lr * surplus)


class DifferentialPrivacyServerSideAdaptiveClipping(_AdaptiveClipping, ServerSideClipping):
    """Clips every update on the server to an adaptive norm and adds noise to the aggregate.

    Args:
        strategy: any strategy whose replies carry one ArrayRecord of the names and shapes sent.
        noise_multiplier: z, noise per client in clipping norms; not negative.
        num_sampled_clients: how many train in a round; above 0.
        initial_clipping_norm: C of round 1, L2 over all arrays, in the unit of the weights.
        target_clipped_quantile: share of updates that shall be too long, in [0, 1].
        clip_norm_lr: how fast C moves; above 0.
        clipped_count_stddev: noise on the number of updates that were too long, in clients; a
            twentieth of ``num_sampled_clients`` if absent, 0 without noise.

    Raises:
        ValueError: an argument is out of range, or z is not below 2 * clipped_count_stddev.
    """

    clipping = "Server-Side Adaptive Clipping"

    def _saw_clipped(self, count: int, total: int) -> None:
        self._adapt(count, total)


class DifferentialPrivacyClientSideAdaptiveClipping(_AdaptiveClipping, ClientSideClipping):
    """Has clients clip their updates to an adaptive norm and adds noise to the aggregate.

    The ClientApp must use ``flwr.clientapp.mod.adaptiveclipping_mod``, which tells whether an
    update was too long by the metric ``norm_bit``.

    Args:
        strategy: any strategy that sends the configuration it is given.
        noise_multiplier: z, noise per client in clipping norms; not negative.
        num_sampled_clients: how many train in a round; above 0.
        initial_clipping_norm: C of round 1, L2 over all arrays, in the unit of the weights.
        target_clipped_quantile: share of updates that shall be too long, in [0, 1].
        clip_norm_lr: how fast C moves; above 0.
        clipped_count_stddev: noise on the number of updates that were too long, in clients; a
            twentieth of ``num_sampled_clients`` if absent, 0 without noise.

    Raises:
        ValueError: an argument is out of range, or z is not below 2 * clipped_count_stddev.
    """

    clipping = "Client-Side Adaptive Clipping"

    def _clip(self, replies: list[Message]) -> bool:
        bits = [norm_bit(reply) for reply in replies]
        self._adapt(sum(bits), len(bits))
        return super()._clip(replies)


def effective_noise_multiplier(noise_multiplier: float, clipped_count_stddev: float) -> float:
    """Return z', which with a blurred count is as private as ``noise_multiplier`` without one.

    Raises:
        ValueError: the count is blurred too little for any z'.
    """
    z, doubled = noise_multiplier, 2 * clipped_count_stddev
    if z == 0:
        return 0.0
    if z >= doubled:
        raise ValueError(
            f"clipped_count_stddev is {clipped_count_stddev}, by default num_sampled_clients / 20; "
            f"it must be above half of noise_multiplier, {z}: raise it, or lower the other",
        )
    effective = 1 / math.sqrt(z**-2 - doubled**-2)
    if effective > _MUCH_NOISE * z:
        logger.warning(
            "The model gets %.1f times the noise asked for, to hide the count of clipped updates; "
            "a larger clipped_count_stddev or more clients need less",
            effective / z,
        )
    return effective


def norm_bit(reply: Message) -> bool:
    """Return whether the client had to scale its update down.

    Raises:
        AggregationError: its metrics do not tell.
    """
    found = [record.get(NORM_BIT_KEY) for record in reply.content.metric_records.values()]
    bits = [bit for bit in found if isinstance(bit, int | float)]
    if not bits:
        raise AggregationError(
            f"the reply of node {reply.metadata.src_node_id} lacks the metric '{NORM_BIT_KEY}'; "
            "its ClientApp must use flwr.clientapp.mod.adaptiveclipping_mod",
        )
    return bool(bits[0])
