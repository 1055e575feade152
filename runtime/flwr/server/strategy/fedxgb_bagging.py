"""FedXgbBagging, legacy form: every round appends each client's new trees to one forest."""

from collections.abc import Callable
from typing import Any

from flwr.common.typing import EvaluateRes, FitRes, Parameters, Scalar
from flwr.server.client_proxy import ClientProxy
from flwr.server.strategy.fedavg import FedAvg
from flwr.server.strategy.xgb_evaluation import fold_without_loss
from flwr.serverapp.strategy.boosters import aggregate_bagging

EvaluateFunction = Callable[
    [int, Parameters, dict[str, Scalar]], tuple[float, dict[str, Scalar]] | None
]


class FedXgbBagging(FedAvg):
    """Bagging of gradient-boosted trees; models are XGBoost's JSON as bytes.

    Args:
        evaluate_function: evaluates the forest on the server.
        kwargs: arguments of ``FedAvg``.
    """

    def __init__(self, evaluate_function: EvaluateFunction | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.evaluate_function = evaluate_function
        self.global_model: bytes | None = None

    def __repr__(self) -> str:
        return f"FedXgbBagging(accept_failures={self.accept_failures})"

    def aggregate_fit(
        self,
        server_round: int,  # noqa: ARG002  named by the contract
        results: list[tuple[ClientProxy, FitRes]],
        failures: list[tuple[ClientProxy, FitRes] | BaseException],
    ) -> tuple[Parameters | None, dict[str, Scalar]]:
        """Return the forest grown by each client's trees.

        Raises:
            AggregationError: a client's model is no forest.
        """
        if not self._can_aggregate(results, failures):
            return None, {}
        for _, answer in results:
            for booster in answer.parameters.tensors:
                self.global_model = aggregate(self.global_model, booster)
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

    def evaluate(
        self, server_round: int, parameters: Parameters
    ) -> tuple[float, dict[str, Scalar]] | None:
        """Return what ``evaluate_function`` finds."""
        if self.evaluate_function is None:
            return None
        return self.evaluate_function(server_round, parameters, {})


def aggregate(bst_prev_org: bytes | None, bst_curr_org: bytes) -> bytes:
    """Return the first booster with the new trees of the second; the second if there is no first.

    Raises:
        AggregationError: one is no forest in XGBoost's JSON.
    """
    return aggregate_bagging(bst_prev_org or b"", bst_curr_org)
