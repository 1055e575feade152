"""Strategies: how a ServerApp chooses nodes, sends them a model, and folds their replies."""

from flwr.serverapp.strategy.bulyan import Bulyan
from flwr.serverapp.strategy.dp_adaptive_clipping import (
    DifferentialPrivacyClientSideAdaptiveClipping,
    DifferentialPrivacyServerSideAdaptiveClipping,
)
from flwr.serverapp.strategy.dp_fixed_clipping import (
    DifferentialPrivacyClientSideFixedClipping,
    DifferentialPrivacyServerSideFixedClipping,
)
from flwr.serverapp.strategy.fedadagrad import FedAdagrad
from flwr.serverapp.strategy.fedadam import FedAdam
from flwr.serverapp.strategy.fedavg import FedAvg
from flwr.serverapp.strategy.fedavgm import FedAvgM
from flwr.serverapp.strategy.fedmedian import FedMedian
from flwr.serverapp.strategy.fedprox import FedProx
from flwr.serverapp.strategy.fedtrimmedavg import FedTrimmedAvg
from flwr.serverapp.strategy.fedxgb_bagging import FedXgbBagging
from flwr.serverapp.strategy.fedxgb_cyclic import FedXgbCyclic
from flwr.serverapp.strategy.fedyogi import FedYogi
from flwr.serverapp.strategy.krum import Krum
from flwr.serverapp.strategy.multikrum import MultiKrum
from flwr.serverapp.strategy.qfedavg import QFedAvg
from flwr.serverapp.strategy.result import Result
from flwr.serverapp.strategy.strategy import Strategy

__all__ = [
    "Bulyan",
    "DifferentialPrivacyClientSideAdaptiveClipping",
    "DifferentialPrivacyClientSideFixedClipping",
    "DifferentialPrivacyServerSideAdaptiveClipping",
    "DifferentialPrivacyServerSideFixedClipping",
    "FedAdagrad",
    "FedAdam",
    "FedAvg",
    "FedAvgM",
    "FedMedian",
    "FedProx",
    "FedTrimmedAvg",
    "FedXgbBagging",
    "FedXgbCyclic",
    "FedYogi",
    "Krum",
    "MultiKrum",
    "QFedAvg",
    "Result",
    "Strategy",
]
