"""Clients that tests of the legacy server ask."""

from collections.abc import Sequence

import numpy as np

from flwr.app import Context
from flwr.client.client import Client
from flwr.client.numpy_client import NumPyClient
from flwr.clientapp import ClientApp
from flwr.common.parameter import ndarrays_to_parameters
from flwr.common.typing import (
    Code,
    DisconnectRes,
    EvaluateIns,
    EvaluateRes,
    FitIns,
    FitRes,
    GetParametersIns,
    GetParametersRes,
    GetPropertiesIns,
    GetPropertiesRes,
    NDArrays,
    Parameters,
    ReconnectIns,
    Scalar,
    Status,
)
from flwr.server.client_manager import ClientManager
from flwr.server.client_proxy import ClientProxy
from flwr.server.strategy.fedavg import FedAvg

OK = Status(Code.OK, "")


class Adding(NumPyClient):
    """Adds its partition to the model; fails where it is told to."""

    def __init__(self, partition: int, *, failing: int = -1) -> None:
        self.partition, self.failing = partition, failing

    def get_parameters(self, config: dict[str, Scalar]) -> NDArrays:
        return [np.zeros(2)]

    def fit(
        self, parameters: NDArrays, config: dict[str, Scalar]
    ) -> tuple[NDArrays, int, dict[str, Scalar]]:
        if self.partition == self.failing:
            raise KeyError("boom")
        return [parameters[0] + self.partition], 4, {"calls": 1}

    def evaluate(
        self, parameters: NDArrays, config: dict[str, Scalar]
    ) -> tuple[float, int, dict[str, Scalar]]:
        return float(parameters[0].sum()), 2, {"mean": float(parameters[0].mean())}


def adding(*, failing: int = -1) -> ClientApp:
    """Return an app of ``Adding``."""

    def client_fn(context: Context) -> Client:
        partition = int(context.node_config["partition-id"])
        return Adding(partition, failing=failing).to_client()

    return ClientApp(client_fn=client_fn)


class KnownClient(ClientProxy):
    """A client that is not asked anything over a grid."""

    def get_properties(
        self, ins: GetPropertiesIns, timeout: float | None, group_id: int | None
    ) -> GetPropertiesRes:
        return GetPropertiesRes(OK, {"cid": self.cid})

    def get_parameters(
        self, ins: GetParametersIns, timeout: float | None, group_id: int | None
    ) -> GetParametersRes:
        return GetParametersRes(OK, Parameters([], ""))

    def fit(self, ins: FitIns, timeout: float | None, group_id: int | None) -> FitRes:
        if self.cid == "gone":
            raise SystemExit(3)
        return FitRes(OK, ins.parameters, 1, {})

    def evaluate(
        self, ins: EvaluateIns, timeout: float | None, group_id: int | None
    ) -> EvaluateRes:
        return EvaluateRes(OK, 0.5, 1, {})

    def reconnect(
        self, ins: ReconnectIns, timeout: float | None, group_id: int | None
    ) -> DisconnectRes:
        return DisconnectRes(f"left {ins.seconds}")


class Watching(FedAvg):
    """Keeps the failures of training; may ask nobody to train."""

    asks_nobody = False
    failures: Sequence[tuple[ClientProxy, FitRes] | BaseException] = ()

    def configure_fit(
        self, server_round: int, parameters: Parameters, client_manager: ClientManager
    ) -> list[tuple[ClientProxy, FitIns]]:
        asked = super().configure_fit(server_round, parameters, client_manager)
        return [] if self.asks_nobody else asked

    def aggregate_fit(
        self,
        server_round: int,
        results: list[tuple[ClientProxy, FitRes]],
        failures: list[tuple[ClientProxy, FitRes] | BaseException],
    ) -> tuple[Parameters | None, dict[str, Scalar]]:
        self.failures = failures
        return super().aggregate_fit(server_round, results, failures)


def trained(*values: float, examples: int = 1) -> FitRes:
    """Return a trained model of one array."""
    return FitRes(OK, ndarrays_to_parameters([np.asarray(values)]), examples, {})
