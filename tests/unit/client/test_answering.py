"""ClientApps made with a client_fn."""

from typing import Any

import numpy as np
import pytest

from flwr.app import Context, Message, RecordDict
from flwr.client.client import Client
from flwr.client.numpy_client import NumPyClient
from flwr.clientapp import ClientApp
from flwr.clientapp.typing import ClientAppCallable
from flwr.common import recorddict_compat as compat
from flwr.common.parameter import ndarrays_to_parameters, parameters_to_ndarrays
from flwr.common.typing import (
    Code,
    EvaluateIns,
    FitIns,
    GetParametersIns,
    GetPropertiesIns,
    NDArrays,
    Scalar,
)

MODEL = ndarrays_to_parameters([np.ones(2)])


def context(**node_config: int) -> Context:
    named: dict[str, Any] = {k.replace("_", "-"): v for k, v in node_config.items()}
    return Context(7, 5, named, RecordDict(), {})


def train(config: dict[str, Scalar] | None = None) -> Message:
    return Message(compat.fitins_to_recorddict(FitIns(MODEL, config or {}), True), 5, "train")


class Adding(NumPyClient):
    def __init__(self, number: int) -> None:
        self.number = number

    def fit(
        self, parameters: NDArrays, config: dict[str, Scalar]
    ) -> tuple[NDArrays, int, dict[str, Scalar]]:
        return [parameters[0] + self.number], 3, config


def test_a_fresh_client_answers_each_message() -> None:
    made: list[Context] = []

    def client_fn(context: Context) -> Client:
        made.append(context)
        return Adding(len(made)).to_client()

    app, node = ClientApp(client_fn=client_fn), context()
    answers = [compat.recorddict_to_fitres(app(train(), node).content, True) for _ in range(2)]

    assert made == [node, node]
    models = [parameters_to_ndarrays(answer.parameters)[0].tolist() for answer in answers]
    assert models == [[2.0, 2.0], [3.0, 3.0]]


def test_every_type_of_message_has_its_method() -> None:
    app = ClientApp(client_fn=lambda _: Client())
    asked = {
        "train": compat.fitins_to_recorddict(FitIns(MODEL, {}), True),
        "evaluate": compat.evaluateins_to_recorddict(EvaluateIns(MODEL, {}), True),
        "get_parameters": compat.getparametersins_to_recorddict(GetParametersIns({})),
        "get_properties": compat.getpropertiesins_to_recorddict(GetPropertiesIns({})),
    }

    replies = [app(Message(content, 5, kind), context()) for kind, content in asked.items()]

    codes = [
        Code(next(r["code"] for n, r in reply.content.items() if n.endswith(".status")))
        for reply in replies
    ]
    assert [code.value for code in codes] == [3, 4, 2, 1]
    assert [reply.metadata.message_type for reply in replies] == list(asked)


@pytest.mark.parametrize("kind", ["query", "train.fast", "reconnect"])
def test_other_types_are_refused(kind: str) -> None:
    app = ClientApp(client_fn=lambda _: Client())
    with pytest.raises(ValueError, match=f"Invalid message type: {kind}"):
        app(Message(RecordDict(), 5, kind), context())


def test_a_numpy_client_is_converted_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    reply = ClientApp(client_fn=lambda _: Adding(1))(train(), context())

    assert compat.recorddict_to_fitres(reply.content, True).num_examples == 3
    assert "to_client()" in caplog.text


def test_anything_else_is_refused() -> None:
    with pytest.raises(TypeError, match=r"client_fn returned int, it must return a Client"):
        ClientApp(client_fn=lambda _: 3)(train(), context())


def test_mods_wrap_the_client() -> None:
    seen: list[str] = []

    def mod(message: Message, ctxt: Context, call_next: ClientAppCallable) -> Message:
        seen.append(message.metadata.message_type)
        return call_next(message, ctxt)

    ClientApp(client_fn=lambda _: Client(), mods=[mod])(train(), context())

    assert seen == ["train"]


def test_the_oldest_client_fn_gets_the_partition_as_text() -> None:
    got: list[object] = []

    def by_name(cid: Any) -> Client:
        got.append(cid)
        return Client()

    def by_annotation(which: str) -> Client:
        got.append(which)
        return Client()

    for client_fn in (by_name, by_annotation):
        with pytest.warns(DeprecationWarning, match=r"client_fn\(context: Context\)"):
            app = ClientApp(client_fn=client_fn)
        app(train(), context(partition_id=3))
        app(train(), context())

    assert got == ["3", "5", "3", "5"]
