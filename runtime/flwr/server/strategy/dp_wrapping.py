"""What the legacy differential privacy strategies share: a strategy wrapped, its result blurred."""

import logging
from abc import abstractmethod

from flwr.app.console_log import log
from flwr.common.differential_privacy import add_gaussian_noise_to_params, compute_stdv
from flwr.common.differential_privacy_constants import CLIENTS_DISCREPANCY_WARNING
from flwr.common.typing import EvaluateIns, EvaluateRes, FitIns, FitRes, Parameters, Scalar
from flwr.server.client_manager import ClientManager
from flwr.server.client_proxy import ClientProxy
from flwr.server.strategy.strategy import Strategy


class WrappingStrategy(Strategy):
    """Asks the wrapped strategy for everything.

    Attributes:
        strategy: the one wrapped.
    """

    def __init__(self, strategy: Strategy) -> None:
        super().__init__()
        self.strategy = strategy

    def initialize_parameters(self, client_manager: ClientManager) -> Parameters | None:
        """Return what the wrapped strategy says."""
        return self.strategy.initialize_parameters(client_manager)

    def configure_fit(
        self, server_round: int, parameters: Parameters, client_manager: ClientManager
    ) -> list[tuple[ClientProxy, FitIns]]:
        """Return what the wrapped strategy says."""
        return self.strategy.configure_fit(server_round, parameters, client_manager)

    def configure_evaluate(
        self, server_round: int, parameters: Parameters, client_manager: ClientManager
    ) -> list[tuple[ClientProxy, EvaluateIns]]:
        """Return what the wrapped strategy says."""
        return self.strategy.configure_evaluate(server_round, parameters, client_manager)

    def aggregate_evaluate(
        self,
        server_round: int,
        results: list[tuple[ClientProxy, EvaluateRes]],
        failures: list[tuple[ClientProxy, EvaluateRes] | BaseException],
    ) -> tuple[float | None, dict[str, Scalar]]:
        """Return what the wrapped strategy says."""
        return self.strategy.aggregate_evaluate(server_round, results, failures)

    def evaluate(
        self, server_round: int, parameters: Parameters
    ) -> tuple[float, dict[str, Scalar]] | None:
        """Return what the wrapped strategy says."""
        return self.strategy.evaluate(server_round, parameters)


class PrivateStrategy(WrappingStrategy):
    """Adds the noise that hides each of ``num_sampled_clients`` clipped updates.

    Attributes:
        noise_multiplier: of the noise, in units of the clipping norm.
        clipping_norm: longest update.
        num_sampled_clients: how many clients train in a round.
    """

    def __init__(
        self,
        strategy: Strategy,
        *,
        noise_multiplier: float,
        clipping_norm: float,
        num_sampled_clients: int,
    ) -> None:
        super().__init__(strategy)
        if noise_multiplier < 0:
            raise ValueError(f"noise_multiplier must not be negative, got {noise_multiplier}")
        if clipping_norm <= 0:
            raise ValueError(f"the clipping norm must be positive, got {clipping_norm}")
        if num_sampled_clients <= 0:
            raise ValueError(f"num_sampled_clients must be positive, got {num_sampled_clients}")
        self.noise_multiplier = noise_multiplier
        self.clipping_norm = clipping_norm
        self.num_sampled_clients = num_sampled_clients

    def aggregate_fit(
        self,
        server_round: int,
        results: list[tuple[ClientProxy, FitRes]],
        failures: list[tuple[ClientProxy, FitRes] | BaseException],
    ) -> tuple[Parameters | None, dict[str, Scalar]]:
        """Return the model of clipped updates, with noise; none after a failure."""
        if failures:
            return None, {}
        if len(results) != self.num_sampled_clients:
            warning = CLIENTS_DISCREPANCY_WARNING
            log(logging.WARNING, warning, len(results), self.num_sampled_clients)
        self._clip(results)
        model, metrics = self.strategy.aggregate_fit(server_round, results, failures)
        if model is None:
            return model, metrics
        norm, clients = self.clipping_norm, self.num_sampled_clients
        blurred = add_gaussian_noise_to_params(model, self.noise_multiplier, norm, clients)
        spread = compute_stdv(self.noise_multiplier, norm, clients)
        log(logging.INFO, "aggregate_fit: central DP noise with %.4f stdev added", spread)
        return blurred, metrics

    @abstractmethod
    def _clip(self, results: list[tuple[ClientProxy, FitRes]]) -> None:
        """See to it that the updates are clipped, before they are folded."""


def with_config(
    instructions: list[tuple[ClientProxy, FitIns]], further: dict[str, Scalar]
) -> list[tuple[ClientProxy, FitIns]]:
    """Return ``instructions`` with ``further`` entries in each config; none is changed in place."""
    return [
        (client, FitIns(ins.parameters, {**ins.config, **further})) for client, ins in instructions
    ]
