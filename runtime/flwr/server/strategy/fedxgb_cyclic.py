"""FedXgbCyclic, legacy form: the forest goes from client to client."""

from typing import Any, TypeVar

from flwr.common.typing import EvaluateIns, EvaluateRes, FitIns, FitRes, Parameters, Scalar
from flwr.server.client_manager import ClientManager
from flwr.server.client_proxy import ClientProxy
from flwr.server.strategy.fedavg import FedAvg
from flwr.server.strategy.xgb_evaluation import fold_without_loss

Ins = TypeVar("Ins", FitIns, EvaluateIns)


class FedXgbCyclic(FedAvg):
    """Each round one client goes on with the forest; models are XGBoost's JSON as bytes.

    Args:
        kwargs: arguments of ``FedAvg``.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.global_model: bytes | None = None

    def __repr__(self) -> str:
        return f"FedXgbCyclic(accept_failures={self.accept_failures})"

    def aggregate_fit(
        self,
        server_round: int,  # noqa: ARG002  named by the contract
        results: list[tuple[ClientProxy, FitRes]],
        failures: list[tuple[ClientProxy, FitRes] | BaseException],
    ) -> tuple[Parameters | None, dict[str, Scalar]]:
        """Return the client's forest."""
        if not self._can_aggregate(results, failures):
            return None, {}
        for _, answer in results:
            for booster in answer.parameters.tensors:
                self.global_model = booster
        grown = [] if self.global_model is None else [self.global_model]
        return Parameters(tensor_type="", tensors=grown), {}

    def aggregate_evaluate(
        self,
        server_round: int,
        results: list[tuple[ClientProxy, EvaluateRes]],
        failures: list[tuple[ClientProxy, EvaluateRes] | BaseException],  # noqa: ARG002
    ) -> tuple[float | None, dict[str, Scalar]]:
        """Return the folded metrics; the loss is always 0."""
        return fold_without_loss(self, server_round, results)

    def configure_fit(
        self, server_round: int, parameters: Parameters, client_manager: ClientManager
    ) -> list[tuple[ClientProxy, FitIns]]:
        """Send the forest to the client whose turn it is."""
        asked = super().configure_fit(server_round, parameters, client_manager)
        return _in_turn(asked, server_round)

    def configure_evaluate(
        self, server_round: int, parameters: Parameters, client_manager: ClientManager
    ) -> list[tuple[ClientProxy, EvaluateIns]]:
        """Send the forest to the client whose turn it is."""
        asked = super().configure_evaluate(server_round, parameters, client_manager)
        return _in_turn(asked, server_round)


def _in_turn(
    instructions: list[tuple[ClientProxy, Ins]], server_round: int
) -> list[tuple[ClientProxy, Ins]]:
    """Return the one instruction of this round.

    As in upstream's releases, the order is that of this round's sample: equal seeds choose equally,
    but a client may come twice.  ``flwr.serverapp.strategy.FedXgbCyclic`` visits each in turn.
    """
    return instructions[(server_round - 1) % len(instructions) :][:1] if instructions else []
