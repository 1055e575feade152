import logging
import tracemalloc
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from numpy.lib import format as npy_format

from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp.exception import InconsistentMessageReplies
from flwr.serverapp.strategy import FedAdam, FedAvg, FedMedian, FedTrimmedAvg, Krum, QFedAvg
from flwr.serverapp.strategy.replies import accept_replies, without_lies
from tests.unit.serverapp.fake_grid import FakeGrid
from tests.unit.serverapp.strategy.given_replies import (
    content,
    failure,
    floats,
    model,
    reply,
    weighted,
)


def accept(*messages: Message, with_arrays: bool = True) -> list[RecordDict]:
    return accept_replies(
        messages, stage="aggregate_train", weighted_by_key="num-examples", with_arrays=with_arrays
    )


def test_errors_are_logged_and_left_out(caplog: pytest.LogCaptureFixture) -> None:
    good = weighted(model(1))

    with caplog.at_level(logging.INFO, "flwr"):
        accepted = accept(reply(good), failure(102), failure(103))

    assert accepted == [good]
    assert caplog.messages == [
        "aggregate_train: Received 1 results and 2 failures",
        "\t> Received error in reply from node 102: boom",
        "\t> Received error in reply from node 103: boom",
    ]


def test_no_reply_at_all_is_silent(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "flwr"):
        assert accept() == []
    assert caplog.messages == []


ONE = weighted(model(1), acc=1.0)
TWO_ARRAYS = RecordDict({**ONE, "more": model(1)})
TWO_METRICS = RecordDict({**ONE, "more": MetricRecord()})


@pytest.mark.parametrize(
    ("contents", "text"),
    [
        ([weighted(None)], "exactly one ArrayRecord"),
        ([TWO_ARRAYS], "exactly one ArrayRecord"),
        ([content(model(1))], "exactly one MetricRecord"),
        ([TWO_METRICS], "exactly one MetricRecord"),
        ([ONE, RecordDict({"w": model(1), "metrics": ONE["metrics"]})], "ArrayRecord of all"),
        ([ONE, RecordDict({"arrays": model(1), "m": ONE["metrics"]})], "MetricRecord of all"),
        (
            [ONE, weighted(ArrayRecord([np.ones(1), np.ones(1)]), acc=1.0)],
            "ArrayRecord of all",
        ),
        ([ONE, weighted(model(1), loss=1.0)], "MetricRecord of all"),
        ([content(model(1), acc=1.0)], "lacks the key 'num-examples'"),
        ([weighted(model(1), [1])], "is a list"),
    ],
)
def test_replies_of_differing_form_are_refused(contents: list[RecordDict], text: str) -> None:
    with pytest.raises(InconsistentMessageReplies, match=text):
        accept(*map(reply, contents))


def test_keys_in_another_order_and_other_configs_are_fine() -> None:
    def named(*names: str, **more: Any) -> RecordDict:
        arrays = ArrayRecord({name: Array(np.ones(1)) for name in names})
        return RecordDict({**weighted(arrays), **more})

    assert len(accept(reply(named("a", "b")), reply(named("b", "a", c=ConfigRecord())))) == 2


def test_evaluation_needs_no_arrays_and_ignores_them() -> None:
    assert len(accept(reply(weighted(None, acc=1)), with_arrays=False)) == 1
    assert len(accept(reply(weighted(model(1), acc=1)), with_arrays=False)) == 1


def lying(**fields: Any) -> Array:
    """Return the honest array with another value of some fields."""
    return Array(**{"dtype": "float32", "shape": (2,), "stype": "numpy.ndarray"} | fields)


def less_than_nothing() -> bytes:
    """Return a ``.npy`` file of -2 elements."""
    return HONEST.data.replace(b"(2,), ", b"(-2,),")


def header_of_brackets() -> bytes:
    """Return a ``.npy`` file whose header is nested deeper than Python's parser goes."""
    header = b"(" * 9_000 + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header


HONEST = Array(np.array([1, 2], np.float32))
PICKLED = BytesIO()
np.save(PICKLED, np.array([{"a": 1}], dtype=object), allow_pickle=True)
LIES = {
    "no npy file": lying(data=b"nothing of the kind"),
    "nothing": lying(data=b""),
    "cut off in its header": lying(data=HONEST.data[:20]),
    "cut off in its elements": lying(data=HONEST.data[:-1]),
    "pickled": lying(data=PICKLED.getvalue()),
    "an unknown type": lying(data=HONEST.data.replace(b"<f4", b"<f3")),
    "a header of brackets": lying(data=header_of_brackets()),
    "less than nothing": lying(shape=(-2,), data=less_than_nothing()),
    "another shape": lying(shape=(1, 2), data=HONEST.data),
    "another type": lying(dtype="float64", data=HONEST.data),
}


@pytest.mark.row("F34")
@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
@pytest.mark.parametrize("strategy", [FedAvg, FedAdam, FedMedian, FedTrimmedAvg, Krum, QFedAvg])
def test_a_lying_reply_costs_itself_and_no_more(
    strategy: Any, lie: Array, caplog: pytest.LogCaptureFixture
) -> None:
    told = {101: HONEST, 102: lie, 103: HONEST}

    def answer(message: Message) -> Message:
        arrays = ArrayRecord({"0": told[message.metadata.dst_node_id]})
        return Message(weighted(arrays, train_loss=1.0), reply_to=message)

    rate = {"client_learning_rate": 0.1} if strategy is QFedAvg else {}
    rule = strategy(fraction_evaluate=0.0, **rate)
    with caplog.at_level(logging.INFO, "flwr"):
        result = rule.start(FakeGrid(3, answer), model(1, 2), num_rounds=1)

    assert np.allclose(floats(result.arrays), [1, 2])
    assert "aggregate_train: Received 2 results and 1 failures" in caplog.messages
    assert any(
        "reply from node 102: refused, array '0' of 'arrays' is damaged: " in line
        for line in caplog.messages
    )


SHORT, LONG = model(1, 2), model(1, 2, 3)


@pytest.mark.row("F34")
@pytest.mark.parametrize("liar", [101, 103])
@pytest.mark.parametrize(
    "lie", [LONG, ArrayRecord([np.array(["a", "b"])]), model(1, 2, dtype="c8")]
)
@pytest.mark.parametrize("strategy", [FedAvg, FedAdam, FedMedian, FedTrimmedAvg, Krum])
def test_a_model_unlike_the_one_sent_costs_its_reply(
    strategy: Any, lie: ArrayRecord, liar: int, caplog: pytest.LogCaptureFixture
) -> None:
    def answer(message: Message) -> Message:
        arrays = lie if message.metadata.dst_node_id == liar else SHORT
        return Message(weighted(arrays), reply_to=message)

    with caplog.at_level(logging.INFO, "flwr"):
        rule = strategy(fraction_evaluate=0.0)
        result = rule.start(FakeGrid(3, answer), model(1, 2), num_rounds=1)

    assert np.allclose(floats(result.arrays), [1, 2])
    wanted = f"reply from node {liar}: refused, array '0' is numpy.ndarray of "
    assert any(wanted in line for line in caplog.messages)


def test_replies_in_another_type_of_numbers_are_averaged() -> None:
    half = model(1, 2, dtype="float16")
    grid = FakeGrid(3, lambda message: Message(weighted(half), reply_to=message))
    assert floats(FedAvg(fraction_evaluate=0.0).start(grid, SHORT, num_rounds=1).arrays) == [1, 2]


@pytest.mark.parametrize("strategy", [FedAvg, FedMedian])
def test_models_that_all_change_their_shape_are_averaged(strategy: Any) -> None:
    grid = FakeGrid(3, lambda message: Message(weighted(LONG), reply_to=message))
    result = strategy(fraction_evaluate=0.0).start(grid, SHORT, num_rounds=1)
    assert floats(result.arrays) == [1, 2, 3]


def test_what_is_as_it_says_passes_unread_and_as_it_is() -> None:
    sound = [
        np.array(2.5),
        np.zeros((0, 3), ">i2"),
        np.asfortranarray(np.ones((2, 3))),
        np.array(["2020-01"], "datetime64[M]"),
        np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
        np.array([True]),
    ]
    arrays = {str(number): Array(array) for number, array in enumerate(sound)}
    own = Array("whatever", (7,), "of.the.app", b"x")
    message = reply(weighted(ArrayRecord({**arrays, "own": own})))

    assert without_lies(message) is message
    assert without_lies(failed := failure()) is failed


@pytest.mark.parametrize("version", [1, 2, 3])
def test_of_a_large_array_the_header_is_read_alone(version: int) -> None:
    stream = BytesIO()
    npy_format.write_array(stream, np.zeros(4_000_000, np.float32), version=(version, 0))
    large = Array("float32", (4_000_000,), "numpy.ndarray", stream.getvalue())
    message = reply(weighted(ArrayRecord({"0": large})))

    tracemalloc.start()
    try:
        assert without_lies(message) is message
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert most < 100_000
