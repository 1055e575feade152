import copy
import logging
import pickle
from typing import Any

import numpy as np
import pytest

from flwr.app import (
    ArrayRecord,
    ConfigRecord,
    Context,
    Error,
    Message,
    MetricRecord,
    RecordDict,
)
from flwr.app.metadata import stamp
from flwr.app.recorddict import RecordType
from flwr.clientapp.mod import (
    LocalDpMod,
    adaptiveclipping_mod,
    arrays_size_mod,
    fixedclipping_mod,
    localdp_mod,
    message_size_mod,
)
from flwr.clientapp.typing import ClientAppCallable, Mod

CONTEXT = Context(7, 5, {}, RecordDict(), {})
CLIP_AT_1 = ConfigRecord({"clipping_norm": 1.0})


def content(*records: RecordType) -> RecordDict:
    return RecordDict({str(number): record for number, record in enumerate(records)})


def arrays(*values: Any) -> ArrayRecord:
    return ArrayRecord([np.array(value, np.float32) for value in values])


def ask(*records: RecordType) -> Message:
    message = Message(content(*records), 5, "train")
    stamp(message.metadata, run_id=7, message_id="ab", src_node_id=1)
    return message


def answer(*records: RecordType) -> ClientAppCallable:
    return lambda message, _: Message(content(*records), reply_to=message)


def fail(message: Message, _: Context) -> Message:
    return Message(Error(2, "boom"), reply_to=message)


def values(reply: Message) -> list[Any]:
    return [
        a.tolist() for a in next(iter(reply.content.array_records.values())).to_numpy_ndarrays()
    ]


def test_message_sizes_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "flwr"):
        message_size_mod(
            ask(arrays([1, 2]), ConfigRecord({"a": 1})),
            CONTEXT,
            answer(MetricRecord({"x": 1})),
        )
        message_size_mod(ask(), CONTEXT, fail)

    assert caplog.messages == [
        "Incoming message size: 146 bytes",
        "Outgoing message size: 9 bytes",
        "Incoming message size: 0 bytes",
        "Outgoing message size: 0 bytes",
    ]


def test_array_sizes_are_logged_per_record(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "flwr"):
        arrays_size_mod(ask(arrays([1, 2], [[3]])), CONTEXT, answer(MetricRecord()))

    assert caplog.messages == [
        "Incoming `ArrayRecord` size statistics:",
        "{'0': {'elements': 3, 'bytes': 270}}",
        "Total array elements received: 270 bytes",
        "Total array elements sent: 0 bytes",
    ]


@pytest.mark.parametrize("mod", [fixedclipping_mod, adaptiveclipping_mod, LocalDpMod(1, 0, 1, 1)])
def test_a_long_update_is_scaled_to_the_norm(mod: Mod) -> None:
    reply = mod(
        ask(arrays([1, 1], [1]), CLIP_AT_1),
        CONTEXT,
        answer(arrays([4, 1], [5]), MetricRecord()),
    )

    clipped: list[list[float]] = [[1.6, 1.0], [1.8]]
    for got, wanted in zip(values(reply), clipped, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-6)
    assert reply.content.array_records["0"]["0"].dtype == "float32"


@pytest.mark.parametrize(
    ("trained", "norm_bit"), [([3.0, 4.0], 1), ([0.3, 0.4], 0), ([0.0, 0.0], 0)]
)
def test_adaptive_clipping_tells_whether_it_was_needed(trained: list[float], norm_bit: int) -> None:
    reply = adaptiveclipping_mod(
        ask(arrays([0, 0]), CLIP_AT_1), CONTEXT, answer(arrays(trained), MetricRecord({"a": 1}))
    )

    assert reply.content["1"] == {"a": 1, "norm_bit": norm_bit}


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ((CLIP_AT_1,), ()),
        ((arrays(1), arrays(1), CLIP_AT_1), ()),
        ((arrays(1),), ()),
        ((arrays(1), ConfigRecord()), ()),
        ((arrays(1), ConfigRecord({"clipping_norm": "a"})), ()),
        ((arrays(1), ConfigRecord({"clipping_norm": 0.0})), ()),
        ((arrays(1), ConfigRecord({"clipping_norm": -1.0})), ()),
        ((arrays(1), CLIP_AT_1), ()),
        ((arrays(1), CLIP_AT_1), (arrays(1, 2), MetricRecord())),
        ((arrays([1]), CLIP_AT_1), (arrays([1, 2]), MetricRecord())),
    ],
)
@pytest.mark.parametrize("mod", [fixedclipping_mod, adaptiveclipping_mod])
def test_a_broken_precondition_is_an_error_reply(
    mod: Mod, asked: tuple[RecordType, ...], answered: tuple[RecordType, ...]
) -> None:
    reply = mod(ask(*asked), CONTEXT, answer(*answered))

    assert reply.error.code == 6
    assert mod.__name__ in str(reply.error.reason)


def test_adaptive_clipping_needs_metrics_to_write_to() -> None:
    reply = adaptiveclipping_mod(ask(arrays(1), CLIP_AT_1), CONTEXT, answer(arrays(1)))

    assert reply.error.code == 6
    assert "MetricRecord" in str(reply.error.reason)


@pytest.mark.parametrize("mod", [fixedclipping_mod, adaptiveclipping_mod, LocalDpMod(1, 1, 1, 1)])
def test_an_error_reply_passes_through(mod: Mod) -> None:
    reply = mod(ask(arrays(1), CLIP_AT_1), CONTEXT, fail)

    assert reply.error == Error(2, "boom")


def seeded(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    generator = np.random.RandomState(seed)
    monkeypatch.setattr(localdp_mod, "_new_generator", lambda: generator)


def test_local_noise_has_the_wanted_spread(monkeypatch: pytest.MonkeyPatch) -> None:
    mod = LocalDpMod(clipping_norm=1.0, sensitivity=2.0, epsilon=0.5, delta=0.125)
    seeded(monkeypatch, 1)

    reply = mod(ask(arrays(np.zeros(20_000))), CONTEXT, answer(arrays(np.zeros(20_000))))

    spread = 2.0 * np.sqrt(2 * np.log(10)) / 0.5
    noise = np.array(values(reply)[0])
    assert noise.std() == pytest.approx(spread, rel=0.03)
    assert noise.mean() == pytest.approx(0, abs=spread / 20)
    assert reply.content.array_records["0"]["0"].dtype == "float32"


def test_local_noise_is_upstreams_for_the_same_generator(monkeypatch: pytest.MonkeyPatch) -> None:
    seeded(monkeypatch, 0)

    reply = LocalDpMod(1.0, 1.0, 1.0, 1e-5)(
        ask(arrays([1, 1], [1])), CONTEXT, answer(arrays([4, 1], [5]))
    )

    theirs: list[list[float]] = [[10.14649, 2.9386837], [6.541795]]  # release 1.29.0
    for got, wanted in zip(values(reply), theirs, strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-6)


def test_copies_of_a_mod_make_different_noise() -> None:
    """Workers of a simulation get copies: equal noise of all clients would not average out."""
    mod = LocalDpMod(1.0, 1.0, 1.0, 1e-5)
    np.random.seed(1)  # noqa: NPY002  what apps call; the noise must not follow from it

    replies = []
    for copied in (mod, pickle.loads(pickle.dumps(mod)), copy.deepcopy(mod)):  # noqa: S301  ours
        np.random.seed(1)  # noqa: NPY002  as above
        replies.append(values(copied(ask(arrays([1, 1])), CONTEXT, answer(arrays([1, 1])))))

    assert replies[0] != replies[1] != replies[2] != replies[0]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("mod", [fixedclipping_mod, adaptiveclipping_mod, LocalDpMod(1, 0, 1, 1)])
def test_an_update_that_cannot_be_clipped_is_not_sent(mod: Mod, bad: float) -> None:
    reply = mod(ask(arrays([1, 1]), CLIP_AT_1), CONTEXT, answer(arrays([1, bad]), MetricRecord()))

    assert reply.error.code == 6
    assert "NaN or infinite" in str(reply.error.reason)


@pytest.mark.parametrize("mod", [fixedclipping_mod, adaptiveclipping_mod, LocalDpMod(1, 0, 1, 1)])
def test_the_update_is_what_changed_even_if_the_app_changed_what_it_got(mod: Mod) -> None:
    def train(message: Message, _: Context) -> Message:
        record = message.content.array_records["0"]
        record["0"].data = arrays([3, 4])["0"].data
        return Message(content(record, MetricRecord()), reply_to=message)

    reply = mod(ask(arrays([0, 0]), CLIP_AT_1), CONTEXT, train)

    np.testing.assert_allclose(values(reply)[0], [0.6, 0.8], rtol=1e-6)


@pytest.mark.parametrize(
    ("mod", "what"), [(fixedclipping_mod, "parameters"), (adaptiveclipping_mod, "ndarrays")]
)
def test_clipping_is_logged(mod: Mod, what: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "flwr"):
        mod(ask(arrays(1), CLIP_AT_1), CONTEXT, answer(arrays(1), MetricRecord()))

    assert caplog.messages == [f"{mod.__name__}: {what} are clipped by value: 1.0000."]


@pytest.mark.parametrize("numbers", [(0, 1, 1, 1), (1, -1, 1, 1), (1, 1, -1, 1), (1, 1, 1, -1)])
def test_local_privacy_refuses_impossible_numbers(
    numbers: tuple[float, float, float, float],
) -> None:
    with pytest.raises(ValueError, match="must"):
        LocalDpMod(*numbers)
