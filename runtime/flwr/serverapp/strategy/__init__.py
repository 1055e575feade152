"""Strategies: how a ServerApp chooses nodes, sends them a model, and folds their replies."""

from flwr.serverapp.strategy.fedadam import FedAdam
from flwr.serverapp.strategy.fedavg import FedAvg
from flwr.serverapp.strategy.fedavgm import FedAvgM
from flwr.serverapp.strategy.fedmedian import FedMedian
from flwr.serverapp.strategy.fedprox import FedProx
from flwr.serverapp.strategy.result import Result
from flwr.serverapp.strategy.strategy import Strategy

__all__ = ["FedAdam", "FedAvg", "FedAvgM", "FedMedian", "FedProx", "Result", "Strategy"]
