"""Central differential privacy with a fixed clipping norm, legacy form.

Source: McMahan et al., ICLR 2018, arXiv:1710.06963.
"""

import logging

from flwr.app.console_log import log
from flwr.common.differential_privacy import compute_clip_model_update
from flwr.common.differential_privacy_constants import KEY_CLIPPING_NORM
from flwr.common.parameter import ndarrays_to_parameters, parameters_to_ndarrays
from flwr.common.typing import FitIns, FitRes, NDArrays, Parameters
from flwr.server.client_manager import ClientManager
from flwr.server.client_proxy import ClientProxy
from flwr.server.strategy.dp_wrapping import PrivateStrategy, with_config
from flwr.server.strategy.strategy import Strategy


class DifferentialPrivacyServerSideFixedClipping(PrivateStrategy):
    """Clips each client's update when it arrives.

    Args:
        strategy: the one wrapped.
        noise_multiplier: not negative.
        clipping_norm: longest update, positive.
        num_sampled_clients: how many clients train in a round.

    Raises:
        ValueError: a number is out of range.
    """

    def __init__(
        self,
        strategy: Strategy,
        noise_multiplier: float,
        clipping_norm: float,
        num_sampled_clients: int,
    ) -> None:
        super().__init__(
            strategy,
            noise_multiplier=noise_multiplier,
            clipping_norm=clipping_norm,
            num_sampled_clients=num_sampled_clients,
        )
        self.current_round_params: NDArrays = []

    def __repr__(self) -> str:
        return "Differential Privacy Strategy Wrapper (Server-Side Fixed Clipping)"

    def configure_fit(
        self, server_round: int, parameters: Parameters, client_manager: ClientManager
    ) -> list[tuple[ClientProxy, FitIns]]:
        """Keep the model, against which updates are measured."""
        self.current_round_params = parameters_to_ndarrays(parameters)
        return super().configure_fit(server_round, parameters, client_manager)

    def _clip(self, results: list[tuple[ClientProxy, FitRes]]) -> None:
        for _, answer in results:
            model = parameters_to_ndarrays(answer.parameters)
            compute_clip_model_update(model, self.current_round_params, self.clipping_norm)
            answer.parameters = ndarrays_to_parameters(model)
        log(
            logging.INFO,
            "aggregate_fit: parameters are clipped by value: %.4f.",
            self.clipping_norm,
        )


class DifferentialPrivacyClientSideFixedClipping(PrivateStrategy):
    """Tells clients the norm; they clip, with ``fixedclipping_mod``.

    Args:
        strategy: the one wrapped.
        noise_multiplier: not negative.
        clipping_norm: longest update, positive.
        num_sampled_clients: how many clients train in a round.

    Raises:
        ValueError: a number is out of range.
    """

    def __init__(
        self,
        strategy: Strategy,
        noise_multiplier: float,
        clipping_norm: float,
        num_sampled_clients: int,
    ) -> None:
        super().__init__(
            strategy,
            noise_multiplier=noise_multiplier,
            clipping_norm=clipping_norm,
            num_sampled_clients=num_sampled_clients,
        )

    def __repr__(self) -> str:
        return "Differential Privacy Strategy Wrapper (Client-Side Fixed Clipping)"

    def configure_fit(
        self, server_round: int, parameters: Parameters, client_manager: ClientManager
    ) -> list[tuple[ClientProxy, FitIns]]:
        """Send the norm with the model."""
        return with_config(
            super().configure_fit(server_round, parameters, client_manager),
            {KEY_CLIPPING_NORM: self.clipping_norm},
        )

    def _clip(self, results: list[tuple[ClientProxy, FitRes]]) -> None:
        """Leave it to the clients."""
