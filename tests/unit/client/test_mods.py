import numpy as np
import pytest

from flwr.app import Context, Error, Message, RecordDict
from flwr.client import start
from flwr.client.dpfedavg_numpy_client import DPFedAvgNumPyClient
from flwr.client.mod.centraldp_mods import adaptiveclipping_mod, fixedclipping_mod
from flwr.client.mod.localdp_mod import LocalDpMod
from flwr.client.numpy_client import NumPyClient
from flwr.clientapp.typing import Mod
from flwr.common import recorddict_compat as compat
from flwr.common.parameter import ndarrays_to_parameters, parameters_to_ndarrays
from flwr.common.typing import Code, Config, FitIns, FitRes, NDArrays, Scalar, Status

CONTEXT = Context(7, 5, {}, RecordDict(), {})
BEFORE = [np.asarray([10.0, 10.0]), np.asarray(1.0)]
AFTER = [np.asarray([13.0, 14.0]), np.asarray(1.0)]


def instruction(config: Config, kind: str = "train") -> Message:
    ins = FitIns(ndarrays_to_parameters(BEFORE), config)
    return Message(compat.fitins_to_recorddict(ins, True), 5, kind)


def trained(message: Message, _: Context) -> Message:
    answer = FitRes(Status(Code.OK, ""), ndarrays_to_parameters(AFTER), 8, {"a": 1})
    return Message(compat.fitres_to_recorddict(answer, True), reply_to=message)


def through(mod: Mod, config: Config) -> FitRes:
    return compat.recorddict_to_fitres(mod(instruction(config), CONTEXT, trained).content, True)


@pytest.mark.parametrize("mod", [fixedclipping_mod, adaptiveclipping_mod])
def test_an_update_is_clipped_to_the_norm_of_the_server(mod: Mod) -> None:
    answer = through(mod, {"clipping_norm": 2.5})

    model = [array.tolist() for array in parameters_to_ndarrays(answer.parameters)]
    assert model == [[11.5, 12.0], 1.0]
    assert answer.num_examples == 8


def test_only_the_adaptive_mod_tells_whether_it_clipped() -> None:
    assert through(fixedclipping_mod, {"clipping_norm": 2.5}).metrics == {"a": 1}
    assert through(adaptiveclipping_mod, {"clipping_norm": 2.5}).metrics == {
        "a": 1,
        "norm_bit": True,
    }
    assert through(adaptiveclipping_mod, {"clipping_norm": 50.0}).metrics["norm_bit"] is False


def test_a_norm_is_needed() -> None:
    with pytest.raises(KeyError, match="clipping_norm"):
        through(fixedclipping_mod, {})
    with pytest.raises(TypeError, match="must be a float"):
        through(fixedclipping_mod, {"clipping_norm": "long"})


def test_local_noise_is_added_to_the_clipped_update() -> None:
    almost_exact = LocalDpMod(2.5, 0.0, 1.0, 0.1)

    answer = through(almost_exact, {})
    model = [array.tolist() for array in parameters_to_ndarrays(answer.parameters)]

    assert model == [[11.5, 12.0], 1.0]
    noisy = through(LocalDpMod(2.5, 1.0, 1.0, 0.1), {})
    assert parameters_to_ndarrays(noisy.parameters)[0].tolist() != [11.5, 12.0]
    with pytest.raises(ValueError, match="clipping_norm"):
        LocalDpMod(0.0, 1.0, 1.0, 0.1)


@pytest.mark.parametrize(
    "mod", [fixedclipping_mod, adaptiveclipping_mod, LocalDpMod(1.0, 1.0, 1.0, 0.1)]
)
def test_errors_and_other_messages_pass(mod: Mod) -> None:
    def failing(message: Message, _: Context) -> Message:
        return Message(Error(2, "no"), reply_to=message)

    assert mod(instruction({"clipping_norm": 1.0}), CONTEXT, failing).has_error()
    assert mod(instruction({}, "evaluate"), CONTEXT, failing).has_error()


class Moving(NumPyClient):
    def fit(
        self, parameters: NDArrays, config: dict[str, Scalar]
    ) -> tuple[NDArrays, int, dict[str, Scalar]]:
        return [parameters[0] + np.asarray([3.0, 4.0])], 2, {"m": 1}


def test_the_older_wrapper_clips_and_tells_whether_the_update_was_within() -> None:
    client = DPFedAvgNumPyClient(Moving())
    clip: dict[str, Scalar] = {"dpfedavg_clip_norm": 2.5}

    model, count, metrics = client.fit([np.zeros(2)], clip)
    assert (model[0].tolist(), count, metrics) == ([1.5, 2.0], 2, {"m": 1})
    told = client.fit([np.zeros(2)], {**clip, "dpfedavg_adaptive_clip_enabled": True})[2]
    assert told == {"m": 1, "dpfedavg_norm_bit": False}
    noisy = client.fit([np.zeros(2)], {**clip, "dpfedavg_noise_stddev": 1.0})[0]
    assert noisy[0].tolist() != [1.5, 2.0]
    assert client.evaluate([], {}) == (0.0, 0, {})
    assert (client.get_parameters({}), client.get_properties({})) == ([], {})


@pytest.mark.parametrize(
    ("config", "error"),
    [
        ({}, KeyError),
        ({"dpfedavg_clip_norm": "x"}, TypeError),
        ({"dpfedavg_clip_norm": 1.0, "dpfedavg_noise_stddev": "x"}, TypeError),
    ],
)
def test_the_older_wrapper_needs_its_config(config: Config, error: type[Exception]) -> None:
    with pytest.raises(error, match="dpfedavg"):
        DPFedAvgNumPyClient(Moving()).fit([np.zeros(2)], config)


def test_starting_clients_by_hand_says_what_to_do_instead() -> None:
    with pytest.raises(start.ConnectionGoneError, match=r"start_client is not part") as error:
        start.start_client(server_address="127.0.0.1:8080")
    assert error.value.hint
    assert "flower-supernode" in error.value.hint
    with pytest.raises(start.ConnectionGoneError, match="start_numpy_client"):
        start.start_numpy_client(server_address="127.0.0.1:8080", client=NumPyClient())
