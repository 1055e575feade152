import logging
from typing import Any

import numpy as np
import pytest

from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp.exception import InconsistentMessageReplies
from flwr.serverapp.strategy.replies import accept_replies
from tests.unit.serverapp.strategy.given_replies import content, failure, model, reply, weighted


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
