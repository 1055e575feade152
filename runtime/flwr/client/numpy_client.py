"""NumPyClient: the legacy form of a client's half of an app, in terms of ndarrays."""

from abc import ABC
from typing import Any

from flwr.client.client import Client
from flwr.common.parameter import ndarrays_to_parameters, parameters_to_ndarrays
from flwr.common.typing import (
    Code,
    Config,
    EvaluateIns,
    EvaluateRes,
    FitIns,
    FitRes,
    GetParametersIns,
    GetParametersRes,
    GetPropertiesIns,
    GetPropertiesRes,
    NDArrays,
    Scalar,
    Status,
)


class NumPyClient(ABC):  # noqa: B024  abstract in name: every method is optional
    """Answers what a legacy server asks; a method that is not overridden says so in its status."""

    def get_properties(self, config: Config) -> dict[str, Scalar]:  # noqa: ARG002
        """Return what this client is."""
        return {}

    def get_parameters(self, config: dict[str, Scalar]) -> NDArrays:  # noqa: ARG002
        """Return the client's model."""
        return []

    def fit(
        self,
        parameters: NDArrays,  # noqa: ARG002
        config: dict[str, Scalar],  # noqa: ARG002
    ) -> tuple[NDArrays, int, dict[str, Scalar]]:
        """Return the model trained further, how many examples were used, and metrics."""
        return [], 0, {}

    def evaluate(
        self,
        parameters: NDArrays,  # noqa: ARG002
        config: dict[str, Scalar],  # noqa: ARG002
    ) -> tuple[float, int, dict[str, Scalar]]:
        """Return the loss of the model, how many examples were used, and metrics."""
        return 0.0, 0, {}

    def to_client(self) -> Client:
        """Return this client in terms of ``Parameters``."""
        return NumPyClientWrapper(self)


def has_get_properties(client: NumPyClient) -> bool:
    """Tell whether ``client`` overrides ``get_properties``."""
    return type(client).get_properties is not NumPyClient.get_properties


def has_get_parameters(client: NumPyClient) -> bool:
    """Tell whether ``client`` overrides ``get_parameters``."""
    return type(client).get_parameters is not NumPyClient.get_parameters


def has_fit(client: NumPyClient) -> bool:
    """Tell whether ``client`` overrides ``fit``."""
    return type(client).fit is not NumPyClient.fit


def has_evaluate(client: NumPyClient) -> bool:
    """Tell whether ``client`` overrides ``evaluate``."""
    return type(client).evaluate is not NumPyClient.evaluate


class NumPyClientWrapper(Client):
    """A NumPyClient in terms of ``Parameters``."""

    def __init__(self, numpy_client: NumPyClient) -> None:
        self.numpy_client = numpy_client

    def get_properties(self, ins: GetPropertiesIns) -> GetPropertiesRes:
        """Return what the client says it is."""
        if not has_get_properties(self.numpy_client):
            return super().get_properties(ins)
        properties = self.numpy_client.get_properties(config=ins.config)
        return GetPropertiesRes(_success(), properties)

    def get_parameters(self, ins: GetParametersIns) -> GetParametersRes:
        """Return the client's ndarrays as bytes."""
        if not has_get_parameters(self.numpy_client):
            return super().get_parameters(ins)
        ndarrays = self.numpy_client.get_parameters(config=ins.config)
        return GetParametersRes(_success(), ndarrays_to_parameters(ndarrays))

    def fit(self, ins: FitIns) -> FitRes:
        """Return the trained ndarrays as bytes.

        Raises:
            TypeError: the client did not return (list of ndarrays, int, dict).
        """
        if not has_fit(self.numpy_client):
            return super().fit(ins)
        given = self.numpy_client.fit(parameters_to_ndarrays(ins.parameters), ins.config)
        ndarrays, num_examples, metrics = _require(
            "fit", given, (list, int, dict), 'return model.weights(), 10, {"accuracy": 0.95}'
        )
        return FitRes(_success(), ndarrays_to_parameters(ndarrays), num_examples, metrics)

    def evaluate(self, ins: EvaluateIns) -> EvaluateRes:
        """Return the loss.

        Raises:
            TypeError: the client did not return (float, int, dict).
        """
        if not has_evaluate(self.numpy_client):
            return super().evaluate(ins)
        given = self.numpy_client.evaluate(parameters_to_ndarrays(ins.parameters), ins.config)
        loss, num_examples, metrics = _require(
            "evaluate", given, (float, int, dict), 'return 0.5, 10, {"accuracy": 0.95}'
        )
        return EvaluateRes(_success(), loss, num_examples, metrics)


def _require(
    method: str, given: object, types: tuple[type, type, type], example: str
) -> tuple[Any, Any, Any]:
    """Return ``given`` if it is a tuple or list of three values of ``types``."""
    values = given if isinstance(given, tuple | list) else ()
    fits = len(values) == len(types) and all(map(isinstance, values, types))
    if not fits:
        wanted = ", ".join(kind.__name__ for kind in types)
        found = ", ".join(type(v).__name__ for v in values) or type(given).__name__
        raise TypeError(
            f"NumPyClient.{method} did not return a tuple with 3 elements ({wanted}) but "
            f"({found}).  Example: {example}"
        )
    first, second, third = values
    return first, second, third


def _success() -> Status:
    return Status(Code.OK, "Success")
