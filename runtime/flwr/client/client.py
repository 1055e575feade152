"""Client: the legacy form of a client's half of an app, in terms of ``Parameters``."""

from abc import ABC

from flwr.common.typing import (
    Code,
    EvaluateIns,
    EvaluateRes,
    FitIns,
    FitRes,
    GetParametersIns,
    GetParametersRes,
    GetPropertiesIns,
    GetPropertiesRes,
    Parameters,
    Status,
)


class Client(ABC):  # noqa: B024  abstract in name: every method is optional
    """Answers what a legacy server asks; a method that is not overridden says so in its status."""

    def get_properties(self, ins: GetPropertiesIns) -> GetPropertiesRes:  # noqa: ARG002
        """Return what this client is."""
        missing = _missing(Code.GET_PROPERTIES_NOT_IMPLEMENTED, "get_properties")
        return GetPropertiesRes(missing, {})

    def get_parameters(self, ins: GetParametersIns) -> GetParametersRes:  # noqa: ARG002
        """Return the client's model."""
        missing = _missing(Code.GET_PARAMETERS_NOT_IMPLEMENTED, "get_parameters")
        return GetParametersRes(missing, Parameters([], ""))

    def fit(self, ins: FitIns) -> FitRes:  # noqa: ARG002
        """Return the model trained further."""
        missing = _missing(Code.FIT_NOT_IMPLEMENTED, "fit")
        return FitRes(missing, Parameters([], ""), 0, {})

    def evaluate(self, ins: EvaluateIns) -> EvaluateRes:  # noqa: ARG002
        """Return the loss of the model."""
        return EvaluateRes(_missing(Code.EVALUATE_NOT_IMPLEMENTED, "evaluate"), 0.0, 0, {})

    def to_client(self) -> "Client":
        """Return this object: it is a client already."""
        return self


def has_get_properties(client: Client) -> bool:
    """Tell whether ``client`` overrides ``get_properties``."""
    return type(client).get_properties is not Client.get_properties


def has_get_parameters(client: Client) -> bool:
    """Tell whether ``client`` overrides ``get_parameters``."""
    return type(client).get_parameters is not Client.get_parameters


def has_fit(client: Client) -> bool:
    """Tell whether ``client`` overrides ``fit``."""
    return type(client).fit is not Client.fit


def has_evaluate(client: Client) -> bool:
    """Tell whether ``client`` overrides ``evaluate``."""
    return type(client).evaluate is not Client.evaluate


def maybe_call_get_properties(
    client: Client, get_properties_ins: GetPropertiesIns
) -> GetPropertiesRes:
    """Return what ``client`` answers; one that cannot says so in its status."""
    return client.get_properties(get_properties_ins)


def maybe_call_get_parameters(
    client: Client, get_parameters_ins: GetParametersIns
) -> GetParametersRes:
    """Return what ``client`` answers; one that cannot says so in its status."""
    return client.get_parameters(get_parameters_ins)


def maybe_call_fit(client: Client, fit_ins: FitIns) -> FitRes:
    """Return what ``client`` answers; one that cannot says so in its status."""
    return client.fit(fit_ins)


def maybe_call_evaluate(client: Client, evaluate_ins: EvaluateIns) -> EvaluateRes:
    """Return what ``client`` answers; one that cannot says so in its status."""
    return client.evaluate(evaluate_ins)


def _missing(code: Code, method: str) -> Status:
    return Status(code, f"Client does not implement `{method}`")
