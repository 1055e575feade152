"""An older form of central differential privacy, for clients in ``DPFedAvgNumPyClient``.

Source: McMahan et al., ICLR 2018, arXiv:1710.06963.
"""

from flwr.common.dp import add_gaussian_noise
from flwr.common.parameter import ndarrays_to_parameters, parameters_to_ndarrays
from flwr.common.typing import FitIns, FitRes, Parameters, Scalar
from flwr.server.client_manager import ClientManager
from flwr.server.client_proxy import ClientProxy
from flwr.server.strategy.dp_wrapping import WrappingStrategy, with_config
from flwr.server.strategy.strategy import Strategy


class DPFedAvgFixed(WrappingStrategy):
    """Tells clients how far to clip; noise is added here or by them.

    Args:
        strategy: the one wrapped.
        num_sampled_clients: how many clients train in a round.
        clip_norm: longest update, positive.
        noise_multiplier: not negative.
        server_side_noising: whether the noise is added here.

    Raises:
        ValueError: a number is out of range.
    """

    def __init__(
        self,
        strategy: Strategy,
        num_sampled_clients: int,
        clip_norm: float,
        noise_multiplier: float = 1,
        server_side_noising: bool = True,
    ) -> None:
        super().__init__(strategy)
        if clip_norm <= 0:
            raise ValueError(f"clip_norm must be positive, got {clip_norm}")
        if noise_multiplier < 0:
            raise ValueError(f"noise_multiplier must not be negative, got {noise_multiplier}")
        self.num_sampled_clients = num_sampled_clients
        self.clip_norm = clip_norm
        self.noise_multiplier = noise_multiplier
        self.server_side_noising = server_side_noising

    def __repr__(self) -> str:
        return "Strategy with DP with Fixed Clipping enabled."

    def configure_fit(
        self, server_round: int, parameters: Parameters, client_manager: ClientManager
    ) -> list[tuple[ClientProxy, FitIns]]:
        """Send the norm, and the clients' share of the noise if they add it."""
        asked = super().configure_fit(server_round, parameters, client_manager)
        further: dict[str, Scalar] = {"dpfedavg_clip_norm": self.clip_norm}
        if not self.server_side_noising:
            further["dpfedavg_noise_stddev"] = self._calc_client_noise_stddev()
        return with_config(asked, further)

    def aggregate_fit(
        self,
        server_round: int,
        results: list[tuple[ClientProxy, FitRes]],
        failures: list[tuple[ClientProxy, FitRes] | BaseException],
    ) -> tuple[Parameters | None, dict[str, Scalar]]:
        """Return the model of the wrapped strategy, blurred; none after a failure."""
        if failures:
            return None, {}
        for _, answer in results:
            answer.num_examples = 1  # a weighted mean would let one client count for more
            if self.server_side_noising:
                answer.parameters = self._blurred(answer.parameters)
        return self.strategy.aggregate_fit(server_round, results, failures)

    def _calc_client_noise_stddev(self) -> float:
        return float(self.noise_multiplier * self.clip_norm / (self.num_sampled_clients**0.5))

    def _blurred(self, parameters: Parameters) -> Parameters:
        model = parameters_to_ndarrays(parameters)
        return ndarrays_to_parameters(add_gaussian_noise(model, self._calc_client_noise_stddev()))
