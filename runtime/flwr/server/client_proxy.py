"""ClientProxy: what a legacy server has of a client."""

from abc import ABC, abstractmethod

from flwr.common.typing import (
    DisconnectRes,
    EvaluateIns,
    EvaluateRes,
    FitIns,
    FitRes,
    GetParametersIns,
    GetParametersRes,
    GetPropertiesIns,
    GetPropertiesRes,
    Properties,
    ReconnectIns,
)


class ClientProxy(ABC):
    """A client that can be asked.

    Attributes:
        cid: its id, as text.
        node_id: its id, if it is a node.
        properties: free for use by strategies.
    """

    node_id: int

    def __init__(self, cid: str) -> None:
        self.cid = cid
        self.properties: Properties = {}

    @abstractmethod
    def get_properties(
        self, ins: GetPropertiesIns, timeout: float | None, group_id: int | None
    ) -> GetPropertiesRes:
        """Ask what the client is."""

    @abstractmethod
    def get_parameters(
        self, ins: GetParametersIns, timeout: float | None, group_id: int | None
    ) -> GetParametersRes:
        """Ask for the client's model."""

    @abstractmethod
    def fit(self, ins: FitIns, timeout: float | None, group_id: int | None) -> FitRes:
        """Ask to train a model."""

    @abstractmethod
    def evaluate(
        self, ins: EvaluateIns, timeout: float | None, group_id: int | None
    ) -> EvaluateRes:
        """Ask to evaluate a model."""

    @abstractmethod
    def reconnect(
        self, ins: ReconnectIns, timeout: float | None, group_id: int | None
    ) -> DisconnectRes:
        """Ask to leave, and to come back later."""
