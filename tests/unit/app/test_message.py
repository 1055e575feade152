import logging
from datetime import timedelta
from typing import Any

import pytest

from flwr.app import ConfigRecord, Error, Message, MessageType, Metadata, RecordDict
from flwr.app import message as message_module
from flwr.app.message import MessageInitializationError, restore
from flwr.app.message_type import require_message_type
from flwr.app.metadata import stamp
from tests.fakes.clock import FakeClock

CONTENT = RecordDict({"c": ConfigRecord({"a": 1})})


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    fake = FakeClock()
    monkeypatch.setattr(message_module, "_clock", fake)
    return fake


def pushed(**named: Any) -> Message:
    message = Message(CONTENT, 5, "train.fast", **named)
    stamp(message.metadata, run_id=7, message_id="ab", src_node_id=1)
    return message


def test_an_instruction_starts_unstamped(clock: FakeClock) -> None:
    metadata = Message(CONTENT, 5, "train", group_id="r1").metadata

    assert metadata == Metadata(
        0, "", 0, 5, "", "r1", clock.now().timestamp(), 43_200.0, MessageType.TRAIN
    )


def test_arguments_may_go_by_name() -> None:
    message = Message(content=CONTENT, dst_node_id=5, message_type="query", ttl=4)

    assert (message.metadata.dst_node_id, message.metadata.ttl) == (5, 4.0)
    assert message.content is CONTENT


def test_a_reply_turns_the_instruction_round(clock: FakeClock) -> None:
    asked = pushed(group_id="r1", ttl=100)
    clock.advance(timedelta(seconds=30))

    metadata = Message(CONTENT, reply_to=asked).metadata

    assert metadata.run_id == 7
    assert (metadata.src_node_id, metadata.dst_node_id) == (5, 1)
    assert (metadata.reply_to_message_id, metadata.message_id) == ("ab", "")
    assert (metadata.group_id, metadata.message_type) == ("r1", "train.fast")
    assert metadata.ttl == pytest.approx(70)


def test_a_reply_may_live_shorter_but_not_longer(caplog: pytest.LogCaptureFixture) -> None:
    asked = pushed(ttl=100)

    assert Message(CONTENT, reply_to=asked, ttl=5).metadata.ttl == 5
    assert Message(CONTENT, reply_to=asked, ttl=100.05).metadata.ttl == 100
    assert caplog.messages == []
    with caplog.at_level(logging.WARNING, "flwr"):
        assert Message(CONTENT, reply_to=asked, ttl=101).metadata.ttl == 100
    assert caplog.messages == [
        "Reply TTL cut from 101.00 s to 100.00 s, the rest of the instruction's life"
    ]


@pytest.mark.parametrize("by_name", [True, False])
def test_an_error_reply_carries_no_content(by_name: bool) -> None:
    error = Error(2, "boom")
    reply = (
        Message(error=error, reply_to=pushed()) if by_name else Message(error, reply_to=pushed())
    )

    assert reply.has_error()
    assert not reply.has_content()
    assert reply.error == error
    with pytest.raises(ValueError, match="has_content"):
        _ = reply.content
    with pytest.raises(ValueError, match="error"):
        reply.content = CONTENT


def test_content_excludes_an_error() -> None:
    message = pushed()

    message.content = RecordDict()
    with pytest.raises(ValueError, match="has_error"):
        _ = message.error
    with pytest.raises(ValueError, match="content"):
        message.error = Error(1)


@pytest.mark.parametrize(
    ("args", "named"),
    [
        ((), {}),
        ((CONTENT,), {}),
        ((CONTENT, 5), {}),
        ((CONTENT, "5", "train"), {}),
        ((CONTENT, 5, 6), {}),
        ((None, 5, "train"), {}),
        ((Error(1), 5, "train"), {}),
        ((CONTENT, 5, "train"), {"content": CONTENT}),
        ((CONTENT, 5, "train"), {"group_id": 4}),
        ((CONTENT, 5, "train"), {"ttl": "4"}),
        ((CONTENT, 5, "train", 3), {}),
        ((CONTENT, 5, "train"), {"other": 1}),
        ((CONTENT,), {"reply_to": "message"}),
        ((CONTENT, 5), {"reply_to": "asked"}),
        ((CONTENT,), {"reply_to": "asked", "group_id": "x"}),
        ((CONTENT,), {"reply_to": "asked", "error": Error(1)}),
        ((), {"reply_to": "asked"}),
        (("text",), {"reply_to": "asked"}),
        ((CONTENT,), {"metadata": "text"}),
    ],
)
def test_other_mixes_of_arguments_are_refused(args: tuple[Any, ...], named: dict[str, Any]) -> None:
    if named.get("reply_to") == "asked":
        named = {**named, "reply_to": pushed()}

    with pytest.raises(MessageInitializationError):
        Message(*args, **named)


@pytest.mark.parametrize(
    "message_type",
    ["train", "evaluate", "query", "system", "train.default", "query._x1", "get_parameters"],
)
def test_the_grammar_of_types(message_type: str) -> None:
    assert require_message_type(message_type) == message_type


@pytest.mark.parametrize(
    "message_type",
    ["", "foo", "train.", "train.1a", "train.a.b", ".a", "get_parameters.x", "TRAIN"],
)
def test_other_types_are_refused_when_made_and_when_set(message_type: str) -> None:
    with pytest.raises(ValueError, match="Invalid message type"):
        Message(CONTENT, 5, message_type)
    with pytest.raises(ValueError, match="Invalid message type"):
        pushed().metadata.message_type = message_type


def test_what_the_runtime_decides_is_read_only_for_apps() -> None:
    metadata = pushed().metadata

    for name in ("run_id", "message_id", "src_node_id", "reply_to_message_id"):
        with pytest.raises(AttributeError):
            setattr(metadata, name, 1)
    metadata.dst_node_id, metadata.group_id, metadata.ttl = 9, "g", 1.0
    assert (metadata.dst_node_id, metadata.group_id, metadata.ttl) == (9, "g", 1.0)


def test_a_received_message_is_restored_as_it_was() -> None:
    metadata = Metadata(7, "ab", 5, 1, "cd", "", 1.5, -3.0, "train")

    assert restore(metadata, CONTENT).metadata is metadata
    assert restore(metadata, error=Error(5)).error.code == 5
    with pytest.raises(MessageInitializationError):
        restore(metadata)


def test_deprecated_replies_work_and_warn() -> None:
    with pytest.warns(DeprecationWarning, match="create_reply"):
        assert pushed().create_reply(CONTENT).content is CONTENT
    with pytest.warns(DeprecationWarning, match="create_error_reply"):
        assert pushed().create_error_reply(Error(1)).error.code == 1


def test_comparing_with_other_types_follows_the_contract() -> None:
    with pytest.raises(NotImplementedError):
        _ = pushed().metadata == 3
    with pytest.raises(NotImplementedError):
        _ = Error(1) == 3
    assert Error(1, "a") == Error(1, "a")
    assert repr(Error(1, "a")) == "Error(code=1, reason='a')"


def test_message_type_is_a_list_of_names() -> None:
    with pytest.raises(TypeError, match="instantiated"):
        MessageType()
