"""One client: what it answers, and what it refuses to answer."""

import logging
from collections.abc import Callable
from typing import Any, cast

import numpy as np
import pytest

from flwr.app import ArrayRecord, ConfigRecord, Context, Error, Message, RecordDict
from flwr.app.metadata import stamp
from flwr.client.mod import secagg_mod, secaggplus_mod
from flwr.client.mod.secure_aggregation import participant
from flwr.client.mod.secure_aggregation.secaggplus_mod import (
    SecAggPlusState,
    check_configs,
    check_stage,
)
from flwr.common import recorddict_compat as compat
from flwr.common.parameter import ndarrays_to_parameters
from flwr.common.secure_aggregation.secaggplus_constants import (
    RECORD_KEY_CONFIGS,
    RECORD_KEY_STATE,
    Key,
    Stage,
)
from flwr.common.secure_aggregation.secaggplus_utils import share_keys_plaintext_concat
from flwr.common.typing import Code, FitIns, FitRes, Parameters, Status
from flwr.crypto.ecdsa import new_private_key, parse_private_key, public_pem
from flwr.crypto.masks import MaskGenerator
from flwr.crypto.symmetric import agree, encrypt

ME, ANN, BOB = 7, 5, 9
SETUP: dict[str, Any] = {
    Key.SAMPLE_NUMBER: 3,
    Key.SHARE_NUMBER: 3,
    Key.THRESHOLD: 2,
    Key.CLIPPING_RANGE: 8.0,
    Key.TARGET_RANGE: 1 << 22,
    Key.MOD_RANGE: 1 << 32,
    Key.MAX_WEIGHT: 1000.0,
}
GOOD: dict[str, dict[str, Any]] = {
    Stage.SETUP: SETUP,
    Stage.SHARE_KEYS: {"5": [b"a", b"b"], "7": [b"c", b"d"]},
    Stage.COLLECT_MASKED_VECTORS: {Key.CIPHERTEXT_LIST: [b"a"], Key.SOURCE_LIST: [5]},
    Stage.UNMASK: {Key.ACTIVE_NODE_ID_LIST: [5, 7], Key.DEAD_NODE_ID_LIST: [9]},
}


class Client:
    """The client under test, whose neighbours are played by the test."""

    def __init__(self) -> None:
        self.context = Context(1, ME, {}, RecordDict(), {})
        self.keys = {nid: (new_private_key(), new_private_key()) for nid in (ANN, BOB)}
        self.own: list[bytes] = []

    def ask(self, stage: str, **entries: Any) -> ConfigRecord:
        reply = secaggplus_mod(instruction(stage, entries), self.context, fit)
        return reply.content.config_records[RECORD_KEY_CONFIGS]

    @property
    def state(self) -> SecAggPlusState:
        return SecAggPlusState(**self.context.state.config_records[RECORD_KEY_STATE])

    def set_up(self, **numbers: Any) -> "Client":
        reply = self.ask(Stage.SETUP, **(SETUP | numbers))
        self.own = [cast("bytes", reply[Key.PUBLIC_KEY_1]), cast("bytes", reply[Key.PUBLIC_KEY_2])]
        return self

    def public_keys(self) -> dict[str, list[bytes]]:
        others = {
            str(nid): [public_pem(key.public_key()) for key in pair]
            for nid, pair in self.keys.items()
        }
        return {**others, str(ME): self.own}

    def share(self) -> "Client":
        self.ask(Stage.SHARE_KEYS, **self.public_keys())
        return self

    def ciphertext(self, source: int, *, src: int | None = None, dst: int = ME) -> bytes:
        key = agree(self.keys[source][1], parse_private_key(self.state.sk2).public_key())
        head = src or source, dst
        return encrypt(key, share_keys_plaintext_concat(*head, b"seed %d" % source, b"key"))

    def collect(self, *sources: int) -> "Client":
        ciphertexts = [self.ciphertext(source) for source in sources]
        self.ask(
            Stage.COLLECT_MASKED_VECTORS,
            **{Key.CIPHERTEXT_LIST: ciphertexts, Key.SOURCE_LIST: [*sources]},
        )
        return self

    def unmask(self, active: list[int], dead: list[int]) -> ConfigRecord:
        lists = {Key.ACTIVE_NODE_ID_LIST: active, Key.DEAD_NODE_ID_LIST: dead}
        return self.ask(Stage.UNMASK, **lists)


def instruction(stage: str, entries: dict[str, Any], kind: str = "train") -> Message:
    asked = FitIns(ndarrays_to_parameters([np.zeros(2)]), {})
    content = compat.fitins_to_recorddict(asked, keep_input=True)
    content[RECORD_KEY_CONFIGS] = ConfigRecord({**entries, Key.STAGE: stage})
    message = Message(content, ME, kind)
    stamp(message.metadata, run_id=1, message_id="ab", src_node_id=1)
    return message


def trained(
    parameters: Parameters, *, examples: int = 100, code: Code = Code.OK
) -> Callable[[Message, Context], Message]:
    def answer(message: Message, _: Context) -> Message:
        result = FitRes(Status(code, "not today"), parameters, examples, {"loss": 0.5})
        return Message(compat.fitres_to_recorddict(result, keep_input=True), reply_to=message)

    return answer


def fit(message: Message, context: Context) -> Message:
    return trained(ndarrays_to_parameters([np.array([1.0, -1.0])]))(message, context)


@pytest.fixture
def client() -> Client:
    return Client()


@pytest.mark.parametrize("kind", ["evaluate", "query", "train.other"])
def test_other_messages_pass(kind: str) -> None:
    message = Message(RecordDict(), ME, kind)

    reply = secaggplus_mod(message, Context(1, ME, {}, RecordDict(), {}), lambda *_: message)

    assert reply is message


def test_without_secure_aggregation_on_the_server_nothing_is_trained(client: Client) -> None:
    message = instruction(Stage.SETUP, {})
    del message.content[RECORD_KEY_CONFIGS]

    with pytest.raises(KeyError, match="SecAggPlusWorkflow"):
        secagg_mod(message, client.context, lambda *_: pytest.fail("the update would leak"))


def test_the_reply_has_the_masked_update_and_no_plain_one(client: Client) -> None:
    client.set_up().share()
    ciphertexts = [client.ciphertext(ANN), client.ciphertext(BOB)]
    entries = {Key.CIPHERTEXT_LIST: ciphertexts, Key.SOURCE_LIST: [ANN, BOB]}

    reply = secaggplus_mod(instruction(Stage.COLLECT_MASKED_VECTORS, entries), client.context, fit)

    assert reply.content["fitres.parameters"] == ArrayRecord()
    assert reply.content["fitres.num_examples"] == {"num_examples": 100}
    assert reply.content["fitres.metrics"] == {"loss": 0.5}
    assert reply.content["fitres.status"] == {"code": 0, "message": "not today"}
    masked = reply.content.config_records[RECORD_KEY_CONFIGS][Key.MASKED_PARAMETERS]
    assert [len(tensor) for tensor in cast("list[bytes]", masked)] == [136, 144]


def test_unmasking_gives_seeds_of_the_active_and_keys_of_the_dead(client: Client) -> None:
    client.set_up().share().collect(ANN, BOB)
    own_share = client.state.rd_seed_share_dict[ME]

    reply = client.unmask([ANN, ME], [BOB])

    assert reply == {
        Key.NODE_ID_LIST: [ANN, ME, BOB],
        Key.SHARE_LIST: [b"seed 5", own_share, b"key"],
    }


@pytest.mark.parametrize(
    ("active", "dead", "why"),
    [
        ([ANN, BOB, ME], [BOB], "asked for twice"),
        ([ANN, ANN, ME], [], "asked for twice"),
        ([ANN, ME, 11], [], "no shares of the nodes"),
        ([ANN, ME], [11], "no shares of the nodes"),
        ([ME], [ANN, BOB], "the threshold is 2"),
        ([], [], "the threshold is 2"),
        ([ANN, BOB], [ME], "among the dead"),
    ],
)
def test_what_would_uncover_an_update_is_refused(
    client: Client, active: list[int], dead: list[int], why: str
) -> None:
    client.set_up().share().collect(ANN, BOB)

    with pytest.raises(ValueError, match=why):
        client.unmask(active, dead)


def test_shares_are_given_once(client: Client) -> None:
    client.set_up().share().collect(ANN, BOB).unmask([ANN, BOB, ME], [])

    with pytest.raises(ValueError, match="expect setup stage"):
        client.unmask([ANN, ME], [BOB])


def test_an_update_is_masked_once(client: Client) -> None:
    client.set_up().share().collect(ANN, BOB)

    with pytest.raises(ValueError, match="expect unmask stage"):
        client.collect(ANN, BOB)


@pytest.mark.parametrize(
    "numbers",
    [
        {Key.THRESHOLD: 1},
        {Key.THRESHOLD: 0},
        {Key.THRESHOLD: 4},
        {Key.SAMPLE_NUMBER: 1},
        {Key.CLIPPING_RANGE: 0.0},
        {Key.CLIPPING_RANGE: -8.0},
        {Key.TARGET_RANGE: 0},
        {Key.MAX_WEIGHT: 0.0},
        {Key.MOD_RANGE: 1 << 22},
        {Key.MOD_RANGE: (1 << 32) - 1},
        {Key.MOD_RANGE: 1 << 63},
    ],
)
def test_numbers_that_protect_nothing_are_refused(client: Client, numbers: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"protects nothing|must be"):
        client.set_up(**numbers)


def test_neighbours_must_be_enough_and_not_too_many(client: Client) -> None:
    client.set_up(**{Key.SHARE_NUMBER: 2})
    with pytest.raises(ValueError, match="3 nodes have keys"):
        client.share()

    client.set_up()
    client.keys = {}
    with pytest.raises(ValueError, match="1 nodes have keys"):
        client.share()


def test_the_own_keys_must_come_back_unchanged(client: Client) -> None:
    client.set_up()
    client.own = client.own[::-1]

    with pytest.raises(ValueError, match="keys this client sent"):
        client.share()


def test_a_node_that_shows_anothers_key_is_noticed(client: Client) -> None:
    client.set_up()
    client.keys[BOB] = client.keys[ANN]

    with pytest.raises(ValueError, match="appears twice"):
        client.share()


@pytest.mark.parametrize("name", ["abc", "1.5", ""])
def test_a_node_id_is_a_number(client: Client, name: str) -> None:
    client.set_up()
    with pytest.raises(ValueError, match="invalid literal"):
        client.ask(Stage.SHARE_KEYS, **client.public_keys(), **{name: [b"a", b"b"]})


@pytest.mark.parametrize(
    ("sources", "why"),
    [([ANN, ANN], "one each"), ([ANN], "one each"), ([ANN, 11], "no neighbour")],
)
def test_shares_come_from_neighbours_once_each(
    client: Client, sources: list[int], why: str
) -> None:
    client.set_up().share()
    entries = {
        Key.CIPHERTEXT_LIST: [client.ciphertext(ANN), client.ciphertext(BOB)],
        Key.SOURCE_LIST: sources,
    }

    with pytest.raises(ValueError, match=why):
        client.ask(Stage.COLLECT_MASKED_VECTORS, **entries)


def test_too_few_neighbours_are_refused(client: Client) -> None:
    client.set_up().share()

    with pytest.raises(ValueError, match="the threshold is 2"):
        client.collect()


@pytest.mark.parametrize("head", [{"src": BOB}, {"dst": BOB}])
def test_shares_made_by_or_for_another_are_refused(client: Client, head: dict[str, int]) -> None:
    client.set_up().share()
    entries = {
        Key.CIPHERTEXT_LIST: [client.ciphertext(ANN, **head)],
        Key.SOURCE_LIST: [ANN],
    }

    with pytest.raises(ValueError, match="by or for another node"):
        client.ask(Stage.COLLECT_MASKED_VECTORS, **entries)


def test_altered_shares_are_refused(client: Client) -> None:
    client.set_up().share()
    entries = {Key.CIPHERTEXT_LIST: [client.ciphertext(BOB)], Key.SOURCE_LIST: [ANN]}

    with pytest.raises(ValueError, match="not made with this key"):
        client.ask(Stage.COLLECT_MASKED_VECTORS, **entries)


def test_an_unknown_generator_is_refused(client: Client) -> None:
    client.set_up().share()
    entries = {
        Key.CIPHERTEXT_LIST: [client.ciphertext(ANN)],
        Key.SOURCE_LIST: [ANN],
        Key.MASK_GENERATOR: "dice",
    }

    with pytest.raises(ValueError, match="dice"):
        client.ask(Stage.COLLECT_MASKED_VECTORS, **entries)


def test_a_client_that_did_not_train_sends_no_update(client: Client) -> None:
    client.set_up().share()
    entries = {Key.CIPHERTEXT_LIST: [client.ciphertext(ANN)], Key.SOURCE_LIST: [ANN]}
    asked = instruction(Stage.COLLECT_MASKED_VECTORS, entries)
    nothing = Parameters([], "")

    with pytest.raises(ValueError, match="not today"):
        secaggplus_mod(asked, client.context, trained(nothing, code=Code.FIT_NOT_IMPLEMENTED))
    with pytest.raises(ValueError, match="must not be negative"):
        secaggplus_mod(asked, client.context, trained(nothing, examples=-1))
    failed = Message(Error(2, "boom"), reply_to=asked)
    assert secaggplus_mod(asked, client.context, lambda *_: failed) is failed


def test_more_examples_than_the_maximum_are_said(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    client.set_up(**{Key.MAX_WEIGHT: 99.0}).share().collect(ANN)

    assert "the provided weight (100) exceeds the specified max_weight (99.0)" in caplog.text


@pytest.mark.parametrize("now", Stage.all())
@pytest.mark.parametrize("then", Stage.all())
def test_stages_follow_each_other_and_setup_starts_afresh(
    now: str, then: str, caplog: pytest.LogCaptureFixture
) -> None:
    order = Stage.all()
    follows = then == order[(order.index(now) + 1) % 4]
    caplog.set_level(logging.INFO, "flwr")

    if follows or then == Stage.SETUP:
        check_stage(now, ConfigRecord({Key.STAGE: then}))
        assert ("Restart" in caplog.text) is not follows
    else:
        with pytest.raises(ValueError, match=f"receive {then} stage"):
            check_stage(now, ConfigRecord({Key.STAGE: then}))


def test_a_stage_must_be_named() -> None:
    with pytest.raises(KeyError, match="stage"):
        check_stage(Stage.UNMASK, ConfigRecord())
    with pytest.raises(TypeError, match="stage"):
        check_stage(Stage.UNMASK, ConfigRecord({Key.STAGE: 1}))
    with pytest.raises(ValueError, match="Unknown"):
        check_configs("dance", ConfigRecord())


@pytest.mark.parametrize("stage", Stage.all())
def test_entries_are_checked(stage: str) -> None:
    check_configs(stage, ConfigRecord(GOOD[stage]))
    check_configs(stage, ConfigRecord({**GOOD[stage], Key.STAGE: stage}))
    for key in GOOD[stage]:
        if stage != Stage.SHARE_KEYS and key != Key.MAX_WEIGHT:
            without = {k: v for k, v in GOOD[stage].items() if k != key}
            with pytest.raises(KeyError, match=key):
                check_configs(stage, ConfigRecord(without))
        if key != Key.MAX_WEIGHT:
            for wrong in ("text", True, ["text"], [True], b"a"):
                with pytest.raises(TypeError, match=key):
                    check_configs(stage, ConfigRecord({**GOOD[stage], key: wrong}))


def test_the_state_survives_in_a_record() -> None:
    state = SecAggPlusState(nid=3, threshold=2, sk1=b"secret", clipping_range=1.5)
    state.sk1_share_dict = {1: b"a", 2: b"b"}
    state.public_keys_dict = {1: (b"c", b"d"), 2: (b"e", b"f")}

    entries = state.to_dict()

    assert entries["public_keys_dict:V"] == [b"c", b"d", b"e", b"f"]
    assert SecAggPlusState(**ConfigRecord(entries)) == state
    assert SecAggPlusState(**SecAggPlusState().to_dict()) == SecAggPlusState()


@pytest.mark.parametrize("entry", ["unknown", "nid:K", "ss2_dict", "unknown:K"])
def test_a_state_of_something_else_is_refused(entry: str) -> None:
    with pytest.raises(TypeError, match=entry):
        SecAggPlusState(**{entry: [1]})


def test_two_clients_masks_cancel_out() -> None:
    one, other = Client(), Client()
    states = []
    for client, nid, neighbour in ((one, 1, 2), (other, 2, 1)):
        client.context = Context(1, nid, {}, RecordDict(), {})
        client.set_up()
        state = client.state
        state.sk1_share_dict = {nid: b"", neighbour: b""}
        state.rd_seed = bytes(32)
        states.append(state)
    states[0].public_keys_dict = {2: (states[1].pk1, states[1].pk2)}
    states[1].public_keys_dict = {1: (states[0].pk1, states[0].pk2)}

    (own, plus), (mask, sign) = participant._masks(states[0], MaskGenerator.CHACHA20, 9)
    (same, _), (twin, twin_sign) = participant._masks(states[1], MaskGenerator.CHACHA20, 9)

    assert plus == 1
    assert (own == same).all()
    assert (mask == twin).all()
    assert sign + twin_sign == 0
