from typing import Any

import numpy as np
import pytest

from flwr.client import client, numpy_client
from flwr.client.client import Client
from flwr.client.numpy_client import NumPyClient
from flwr.common.parameter import ndarrays_to_parameters, parameters_to_ndarrays
from flwr.common.typing import (
    Code,
    EvaluateIns,
    FitIns,
    GetParametersIns,
    GetPropertiesIns,
    NDArrays,
    Parameters,
    Scalar,
)

MODEL = ndarrays_to_parameters([np.ones(2, np.float32)])


class Whole(NumPyClient):
    def get_properties(self, config: dict[str, Scalar]) -> dict[str, Scalar]:
        return {"asked": config["q"]}

    def get_parameters(self, config: dict[str, Scalar]) -> NDArrays:
        return [np.zeros(1), np.ones(1)]

    def fit(
        self, parameters: NDArrays, config: dict[str, Scalar]
    ) -> tuple[NDArrays, int, dict[str, Scalar]]:
        return [parameters[0] * 2], 5, {"rate": config["rate"]}

    def evaluate(
        self, parameters: NDArrays, config: dict[str, Scalar]
    ) -> tuple[float, int, dict[str, Scalar]]:
        return np.float64(parameters[0].sum()), 6, {}


class Returning(NumPyClient):
    """Returns what it is given."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def fit(self, parameters: NDArrays, config: dict[str, Scalar]) -> Any:
        return self.value

    def evaluate(self, parameters: NDArrays, config: dict[str, Scalar]) -> Any:
        return self.value


def test_ndarrays_go_in_and_come_out_as_parameters() -> None:
    wrapped = Whole().to_client()

    trained = wrapped.fit(FitIns(MODEL, {"rate": 0.5}))
    evaluated = wrapped.evaluate(EvaluateIns(MODEL, {}))
    model = wrapped.get_parameters(GetParametersIns({}))
    known = wrapped.get_properties(GetPropertiesIns({"q": "size"}))

    assert parameters_to_ndarrays(trained.parameters)[0].tolist() == [2.0, 2.0]
    assert (trained.num_examples, trained.metrics) == (5, {"rate": 0.5})
    assert (evaluated.loss, evaluated.num_examples, evaluated.metrics) == (2.0, 6, {})
    assert len(model.parameters.tensors) == 2
    assert known.properties == {"asked": "size"}
    assert {a.status.code for a in (trained, evaluated, model, known)} == {Code.OK}
    assert wrapped.to_client() is wrapped
    assert wrapped.numpy_client.__class__ is Whole  # type: ignore[attr-defined]


@pytest.mark.parametrize("given", [Client(), NumPyClient().to_client()])
def test_what_is_not_overridden_says_so(given: Client) -> None:
    answers = (
        client.maybe_call_get_properties(given, GetPropertiesIns({})),
        client.maybe_call_get_parameters(given, GetParametersIns({})),
        client.maybe_call_fit(given, FitIns(MODEL, {})),
        client.maybe_call_evaluate(given, EvaluateIns(MODEL, {})),
    )

    assert [answer.status.code.value for answer in answers] == [1, 2, 3, 4]
    assert answers[2].status.message == "Client does not implement `fit`"
    assert answers[1].parameters == answers[2].parameters == Parameters([], "")
    assert (answers[3].loss, answers[3].num_examples) == (0.0, 0)


def test_overridden_methods_are_known() -> None:
    asked = ("get_properties", "get_parameters", "fit", "evaluate")

    assert [getattr(numpy_client, f"has_{name}")(Whole()) for name in asked] == [True] * 4
    assert [getattr(numpy_client, f"has_{name}")(NumPyClient()) for name in asked] == [False] * 4
    assert [getattr(client, f"has_{name}")(Client()) for name in asked] == [False] * 4
    assert client.has_fit(Whole().to_client())
    assert NumPyClient().fit([], {}) == ([], 0, {})
    assert NumPyClient().evaluate([], {}) == (0.0, 0, {})
    assert NumPyClient().get_parameters({}) == []
    assert NumPyClient().get_properties({}) == {}


@pytest.mark.parametrize(
    "given",
    [
        [np.ones(1)],
        ([np.ones(1)], 1),
        ((np.ones(1),), 1, {}),
        ([np.ones(1)], 1.0, {}),
        ([np.ones(1)], np.int64(1), {}),
        ([np.ones(1)], 1, None),
        None,
    ],
)
def test_fit_must_return_list_int_and_dict(given: object) -> None:
    with pytest.raises(TypeError, match=r"NumPyClient\.fit did not return .* \(list, int, dict\)"):
        Returning(given).to_client().fit(FitIns(MODEL, {}))


@pytest.mark.parametrize(
    "given", [1.0, (1.0, 2), (np.float32(1), 1, {}), (1, 1, {}), (1.0, 1.0, {}), (1.0, 1, [])]
)
def test_evaluate_must_return_float_int_and_dict(given: object) -> None:
    with pytest.raises(TypeError, match=r"evaluate did not return .* \(float, int, dict\)"):
        Returning(given).to_client().evaluate(EvaluateIns(MODEL, {}))
