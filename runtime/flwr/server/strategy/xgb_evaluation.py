"""Folding of evaluations for the tree strategies, which report metrics only."""

import logging

from flwr.app.console_log import log
from flwr.common.typing import EvaluateRes, Scalar
from flwr.server.client_proxy import ClientProxy
from flwr.server.strategy.fedavg import FedAvg


def fold_without_loss(
    strategy: FedAvg, server_round: int, results: list[tuple[ClientProxy, EvaluateRes]]
) -> tuple[float | None, dict[str, Scalar]]:
    """Return a loss of 0 and the folded metrics; no loss without results."""
    if not results:
        return None, {}
    if strategy.evaluate_metrics_aggregation_fn is not None:
        found = [(answer.num_examples, answer.metrics) for _, answer in results]
        return 0, strategy.evaluate_metrics_aggregation_fn(found)
    if server_round == 1:
        log(logging.WARNING, "No evaluate_metrics_aggregation_fn provided")
    return 0, {}
