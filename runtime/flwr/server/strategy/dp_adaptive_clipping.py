"""Central differential privacy whose clipping norm follows a quantile, legacy form.

Source: Andrew et al., NeurIPS 2021, arXiv:1905.03871.
"""

import logging
import math

import numpy as np

from flwr.app.console_log import log
from flwr.common.differential_privacy import (
    compute_adaptive_clip_model_update,
    compute_adaptive_noise_params,
)
from flwr.common.differential_privacy_constants import KEY_CLIPPING_NORM, KEY_NORM_BIT
from flwr.common.parameter import ndarrays_to_parameters, parameters_to_ndarrays
from flwr.common.typing import FitIns, FitRes, NDArrays, Parameters
from flwr.server.client_manager import ClientManager
from flwr.server.client_proxy import ClientProxy
from flwr.server.strategy.dp_wrapping import PrivateStrategy, with_config
from flwr.server.strategy.strategy import Strategy


class AdaptivelyPrivateStrategy(PrivateStrategy):
    """Moves the norm until the wanted share of the updates is longer than it.

    Args:
        strategy: the one wrapped.
        noise_multiplier: not negative.
        num_sampled_clients: how many clients train in a round.
        initial_clipping_norm: of round 1, positive.
        target_clipped_quantile: wanted share, in [0, 1].
        clip_norm_lr: how fast the norm moves, positive.
        clipped_count_stddev: of the noise on the count; a twentieth of the clients if absent.

    Raises:
        ValueError: a number is out of range.
    """

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
        super().__init__(
            strategy,
            noise_multiplier=noise_multiplier,
            clipping_norm=initial_clipping_norm,
            num_sampled_clients=num_sampled_clients,
        )
        if not 0 <= target_clipped_quantile <= 1:
            raise ValueError(
                f"target_clipped_quantile must be in [0, 1], got {target_clipped_quantile}"
            )
        if clip_norm_lr <= 0:
            raise ValueError(f"clip_norm_lr must be positive, got {clip_norm_lr}")
        if clipped_count_stddev is not None and clipped_count_stddev < 0:
            raise ValueError(
                f"clipped_count_stddev must not be negative, got {clipped_count_stddev}"
            )
        self.initial_clipping_norm = initial_clipping_norm
        self.target_clipped_quantile = target_clipped_quantile
        self.clip_norm_lr = clip_norm_lr
        self.clipped_count_stddev, self.noise_multiplier = compute_adaptive_noise_params(
            noise_multiplier, num_sampled_clients, clipped_count_stddev
        )

    def _move_norm(self, clipped: int, clients: int) -> None:
        # numpy's global generator: apps seed it to repeat an experiment.
        noised = float(np.random.normal(clipped, self.clipped_count_stddev))  # noqa: NPY002
        share = noised / float(clients)
        self.clipping_norm *= math.exp(-self.clip_norm_lr * (share - self.target_clipped_quantile))


class DifferentialPrivacyServerSideAdaptiveClipping(AdaptivelyPrivateStrategy):
    """Clips each client's update when it arrives; arguments as in ``AdaptivelyPrivateStrategy``."""

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
        super().__init__(
            strategy,
            noise_multiplier,
            num_sampled_clients,
            initial_clipping_norm,
            target_clipped_quantile,
            clip_norm_lr,
            clipped_count_stddev,
        )
        self.current_round_params: NDArrays = []

    def __repr__(self) -> str:
        return "Differential Privacy Strategy Wrapper (Server-Side Adaptive Clipping)"

    def configure_fit(
        self, server_round: int, parameters: Parameters, client_manager: ClientManager
    ) -> list[tuple[ClientProxy, FitIns]]:
        """Keep the model, against which updates are measured."""
        self.current_round_params = parameters_to_ndarrays(parameters)
        return super().configure_fit(server_round, parameters, client_manager)

    def _clip(self, results: list[tuple[ClientProxy, FitRes]]) -> None:
        clipped = 0
        for _, answer in results:
            model = parameters_to_ndarrays(answer.parameters)
            clipped += compute_adaptive_clip_model_update(
                model, self.current_round_params, self.clipping_norm
            )
            answer.parameters = ndarrays_to_parameters(model)
        log(
            logging.INFO,
            "aggregate_fit: parameters are clipped by value: %.4f.",
            self.clipping_norm,
        )
        if results:
            self._move_norm(clipped, len(results))


class DifferentialPrivacyClientSideAdaptiveClipping(AdaptivelyPrivateStrategy):
    """Tells clients the norm; they clip, with ``adaptiveclipping_mod``, and say whether they did.

    Arguments as in ``AdaptivelyPrivateStrategy``.
    """

    def __repr__(self) -> str:
        return "Differential Privacy Strategy Wrapper (Client-Side Adaptive Clipping)"

    def configure_fit(
        self, server_round: int, parameters: Parameters, client_manager: ClientManager
    ) -> list[tuple[ClientProxy, FitIns]]:
        """Send the norm with the model."""
        return with_config(
            super().configure_fit(server_round, parameters, client_manager),
            {KEY_CLIPPING_NORM: self.clipping_norm},
        )

    def _clip(self, results: list[tuple[ClientProxy, FitRes]]) -> None:
        """Count how many clients clipped.

        Raises:
            KeyError: a client did not say whether it did.
        """
        for client, answer in results:
            if KEY_NORM_BIT not in answer.metrics:
                raise KeyError(
                    f"client {client.cid} sent no metric '{KEY_NORM_BIT}'; its ClientApp needs "
                    "adaptiveclipping_mod"
                )
        if results:
            clipped = sum(bool(answer.metrics[KEY_NORM_BIT]) for _, answer in results)
            self._move_norm(clipped, len(results))
