"""An older form of central differential privacy whose clipping norm follows a quantile.

Source: Andrew et al., NeurIPS 2021, arXiv:1905.03871.
"""

import math

import numpy as np

from flwr.common.differential_privacy import compute_adaptive_noise_params
from flwr.common.typing import FitIns, FitRes, Parameters, Scalar
from flwr.server.client_manager import ClientManager
from flwr.server.client_proxy import ClientProxy
from flwr.server.strategy.dp_wrapping import with_config
from flwr.server.strategy.dpfedavg_fixed import DPFedAvgFixed
from flwr.server.strategy.strategy import Strategy


class DPFedAvgAdaptive(DPFedAvgFixed):
    """``DPFedAvgFixed`` with a norm that moves.

    Args:
        strategy: the one wrapped.
        num_sampled_clients: how many clients train in a round.
        init_clip_norm: of round 1, positive.
        noise_multiplier: not negative.
        server_side_noising: whether the noise is added here.
        clip_norm_lr: how fast the norm moves.
        clip_norm_target_quantile: wanted share of updates that are not longer than the norm.
        clip_count_stddev: of the noise on the count; a twentieth of the clients if absent.

    Raises:
        ValueError: a number is out of range.
    """

    def __init__(
        self,
        strategy: Strategy,
        num_sampled_clients: int,
        init_clip_norm: float = 0.1,
        noise_multiplier: float = 1.0,
        server_side_noising: bool = True,
        clip_norm_lr: float = 0.2,
        clip_norm_target_quantile: float = 0.5,
        clip_count_stddev: float | None = None,
    ) -> None:
        super().__init__(
            strategy=strategy,
            num_sampled_clients=num_sampled_clients,
            clip_norm=init_clip_norm,
            noise_multiplier=noise_multiplier,
            server_side_noising=server_side_noising,
        )
        self.clip_norm_lr = clip_norm_lr
        self.clip_norm_target_quantile = clip_norm_target_quantile
        self.clip_count_stddev, self.noise_multiplier = compute_adaptive_noise_params(
            noise_multiplier, num_sampled_clients, clip_count_stddev
        )

    def __repr__(self) -> str:
        return "Strategy with DP with Adaptive Clipping enabled."

    def configure_fit(
        self, server_round: int, parameters: Parameters, client_manager: ClientManager
    ) -> list[tuple[ClientProxy, FitIns]]:
        """Ask clients to say whether they clipped."""
        asked = super().configure_fit(server_round, parameters, client_manager)
        return with_config(asked, {"dpfedavg_adaptive_clip_enabled": True})

    def aggregate_fit(
        self,
        server_round: int,
        results: list[tuple[ClientProxy, FitRes]],
        failures: list[tuple[ClientProxy, FitRes] | BaseException],
    ) -> tuple[Parameters | None, dict[str, Scalar]]:
        """Return the blurred model, and move the norm."""
        if failures:
            return None, {}
        folded = super().aggregate_fit(server_round, results, failures)
        if results:
            self._update_clip_norm(results)
        return folded

    def _update_clip_norm(self, results: list[tuple[ClientProxy, FitRes]]) -> None:
        within = sum(bool(answer.metrics["dpfedavg_norm_bit"]) for _, answer in results)
        # numpy's global generator: apps seed it to repeat an experiment.
        noised = float(np.random.normal(within, self.clip_count_stddev))  # noqa: NPY002
        distance = noised / len(results) - self.clip_norm_target_quantile
        self.clip_norm *= math.exp(-self.clip_norm_lr * distance)
