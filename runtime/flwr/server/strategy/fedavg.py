"""Federated averaging, legacy form: the mean of the clients' models, weighted by their examples.

Source: McMahan et al., AISTATS 2017, arXiv:1602.05629.
"""

import logging
from collections.abc import Callable

from flwr.app.console_log import log
from flwr.common.parameter import ndarrays_to_parameters, parameters_to_ndarrays
from flwr.common.typing import (
    EvaluateIns,
    EvaluateRes,
    FitIns,
    FitRes,
    MetricsAggregationFn,
    NDArrays,
    Parameters,
    Scalar,
)
from flwr.server.client_manager import ClientManager
from flwr.server.client_proxy import ClientProxy
from flwr.server.strategy.aggregate import aggregate, aggregate_inplace, weighted_loss_avg
from flwr.server.strategy.strategy import Strategy

EvaluateFn = Callable[[int, NDArrays, dict[str, Scalar]], tuple[float, dict[str, Scalar]] | None]
"""Evaluates a model on the server: gets the round, the model, and an empty dict."""

ConfigFn = Callable[[int], dict[str, Scalar]]
"""Makes the config of a round."""


class FedAvg(Strategy):
    """Federated averaging.

    Args:
        fraction_fit: share of the clients asked to train.
        fraction_evaluate: share of the clients asked to evaluate; 0.0 asks nobody.
        min_fit_clients: at least so many train.
        min_evaluate_clients: at least so many evaluate.
        min_available_clients: a round starts when there are so many.
        evaluate_fn: evaluates the model on the server.
        on_fit_config_fn: makes the config that is sent for training.
        on_evaluate_config_fn: makes the config that is sent for evaluation.
        accept_failures: False drops a round in which a client failed.
        initial_parameters: the model of round 1; one client is asked if absent.
        fit_metrics_aggregation_fn: folds the metrics of training.
        evaluate_metrics_aggregation_fn: folds the metrics of evaluation.
        inplace: add models up one by one.
    """

    def __init__(
        self,
        *,
        fraction_fit: float = 1.0,
        fraction_evaluate: float = 1.0,
        min_fit_clients: int = 2,
        min_evaluate_clients: int = 2,
        min_available_clients: int = 2,
        evaluate_fn: EvaluateFn | None = None,
        on_fit_config_fn: ConfigFn | None = None,
        on_evaluate_config_fn: ConfigFn | None = None,
        accept_failures: bool = True,
        initial_parameters: Parameters | None = None,
        fit_metrics_aggregation_fn: MetricsAggregationFn | None = None,
        evaluate_metrics_aggregation_fn: MetricsAggregationFn | None = None,
        inplace: bool = True,
    ) -> None:
        super().__init__()
        if min_available_clients < max(min_fit_clients, min_evaluate_clients):
            log(
                logging.WARNING,
                "min_available_clients (%s) is lower than min_fit_clients (%s) or "
                "min_evaluate_clients (%s): rounds wait for the largest of them",
                min_available_clients,
                min_fit_clients,
                min_evaluate_clients,
            )
        self.fraction_fit = fraction_fit
        self.fraction_evaluate = fraction_evaluate
        self.min_fit_clients = min_fit_clients
        self.min_evaluate_clients = min_evaluate_clients
        self.min_available_clients = min_available_clients
        self.evaluate_fn = evaluate_fn
        self.on_fit_config_fn = on_fit_config_fn
        self.on_evaluate_config_fn = on_evaluate_config_fn
        self.accept_failures = accept_failures
        self.initial_parameters = initial_parameters
        self.fit_metrics_aggregation_fn = fit_metrics_aggregation_fn
        self.evaluate_metrics_aggregation_fn = evaluate_metrics_aggregation_fn
        self.inplace = inplace

    def __repr__(self) -> str:
        return f"FedAvg(accept_failures={self.accept_failures})"

    def num_fit_clients(self, num_available_clients: int) -> tuple[int, int]:
        """Return how many clients to ask to train, and how many to wait for."""
        wanted = int(num_available_clients * self.fraction_fit)
        return max(wanted, self.min_fit_clients), self.min_available_clients

    def num_evaluation_clients(self, num_available_clients: int) -> tuple[int, int]:
        """Return how many clients to ask to evaluate, and how many to wait for."""
        wanted = int(num_available_clients * self.fraction_evaluate)
        return max(wanted, self.min_evaluate_clients), self.min_available_clients

    def initialize_parameters(
        self,
        client_manager: ClientManager,  # noqa: ARG002  named by the contract
    ) -> Parameters | None:
        """Return the initial model and forget it."""
        given, self.initial_parameters = self.initial_parameters, None
        return given

    def evaluate(
        self, server_round: int, parameters: Parameters
    ) -> tuple[float, dict[str, Scalar]] | None:
        """Return what ``evaluate_fn`` finds."""
        if self.evaluate_fn is None:
            return None
        return self.evaluate_fn(server_round, parameters_to_ndarrays(parameters), {})

    def configure_fit(
        self, server_round: int, parameters: Parameters, client_manager: ClientManager
    ) -> list[tuple[ClientProxy, FitIns]]:
        """Send the model to a sample of the clients."""
        config = {} if self.on_fit_config_fn is None else self.on_fit_config_fn(server_round)
        instruction = FitIns(parameters, config)
        size, enough = self.num_fit_clients(client_manager.num_available())
        clients = client_manager.sample(num_clients=size, min_num_clients=enough)
        return [(client, instruction) for client in clients]

    def configure_evaluate(
        self, server_round: int, parameters: Parameters, client_manager: ClientManager
    ) -> list[tuple[ClientProxy, EvaluateIns]]:
        """Send the model to a sample of the clients."""
        if self.fraction_evaluate == 0.0:
            return []
        make = self.on_evaluate_config_fn
        instruction = EvaluateIns(parameters, {} if make is None else make(server_round))
        size, enough = self.num_evaluation_clients(client_manager.num_available())
        clients = client_manager.sample(num_clients=size, min_num_clients=enough)
        return [(client, instruction) for client in clients]

    def aggregate_fit(
        self,
        server_round: int,
        results: list[tuple[ClientProxy, FitRes]],
        failures: list[tuple[ClientProxy, FitRes] | BaseException],
    ) -> tuple[Parameters | None, dict[str, Scalar]]:
        """Return the weighted mean of the models, and the folded metrics."""
        if not self._can_aggregate(results, failures):
            return None, {}
        model = aggregate_inplace(results) if self.inplace else aggregate(decoded(results))
        return ndarrays_to_parameters(model), self._fold_fit_metrics(server_round, results)

    def aggregate_evaluate(
        self,
        server_round: int,
        results: list[tuple[ClientProxy, EvaluateRes]],
        failures: list[tuple[ClientProxy, EvaluateRes] | BaseException],
    ) -> tuple[float | None, dict[str, Scalar]]:
        """Return the weighted mean of the losses, and the folded metrics."""
        if not self._can_aggregate(results, failures):
            return None, {}
        loss = weighted_loss_avg([(answer.num_examples, answer.loss) for _, answer in results])
        fold = self.evaluate_metrics_aggregation_fn
        if fold is not None:
            return loss, fold([(answer.num_examples, answer.metrics) for _, answer in results])
        if server_round == 1:
            log(logging.WARNING, "No evaluate_metrics_aggregation_fn provided")
        return loss, {}

    def _can_aggregate(self, results: object, failures: object) -> bool:
        return bool(results) and (self.accept_failures or not failures)

    def _fold_fit_metrics(
        self, server_round: int, results: list[tuple[ClientProxy, FitRes]]
    ) -> dict[str, Scalar]:
        if self.fit_metrics_aggregation_fn is not None:
            return self.fit_metrics_aggregation_fn(
                [(answer.num_examples, answer.metrics) for _, answer in results]
            )
        if server_round == 1:
            log(logging.WARNING, "No fit_metrics_aggregation_fn provided")
        return {}


def decoded(results: list[tuple[ClientProxy, FitRes]]) -> list[tuple[NDArrays, int]]:
    """Return the models of ``results`` as ndarrays, with their numbers of examples."""
    return [
        (parameters_to_ndarrays(answer.parameters), answer.num_examples) for _, answer in results
    ]
