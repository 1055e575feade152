"""What holds for every Message and Context: they can be copied, pickled and sent."""

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flwr.app import Context, Error, Message, RecordDict
from flwr.wire.codec.contexts import decode_context, encode_context
from flwr.wire.objects import deflate, inflate
from tests.unit.app import anything
from tests.unit.app.test_properties_of_records import is_same


def is_same_message(one: Message, other: Message) -> bool:
    if one.has_error() or other.has_error():
        return one.error == other.error
    return is_same(one.content, other.content)


@anything.quick
@given(message=anything.MESSAGES)
def test_a_message_survives_copies_and_pickles(message: Message) -> None:
    for twin in (copy.deepcopy(message), anything.pickled(message)):
        assert twin.metadata == message.metadata
        assert is_same_message(twin, message)


@anything.quick
@given(message=anything.MESSAGES)
def test_a_message_survives_the_wire(message: Message) -> None:
    parts = deflate(message)

    arrived = inflate(parts.envelope, parts.tree, lambda object_id: parts.objects[object_id].make())

    assert is_same_message(arrived, message)
    told, sent = vars(arrived.metadata), vars(message.metadata)
    assert {**told, "_message_id": ""} == {**sent, "_message_id": ""}


@anything.quick
@given(message=anything.MESSAGES)
def test_a_message_that_was_sent_can_still_be_copied_and_pickled(message: Message) -> None:
    deflate(message)

    assert is_same_message(copy.deepcopy(message), message)
    assert is_same_message(anything.pickled(message), message)


@anything.quick
@given(message=anything.MESSAGES)
def test_equal_contents_are_equal_objects(message: Message) -> None:
    twin = anything.pickled(message)

    assert deflate(twin).tree == deflate(message).tree


@anything.quick
@given(asked=anything.instructions(), content=anything.RECORD_DICTS, error=anything.ERRORS)
def test_a_reply_is_for_whoever_asked(asked: Message, content: RecordDict, error: Error) -> None:
    for reply in (Message(content, reply_to=asked), Message(error, reply_to=asked)):
        told, before = reply.metadata, asked.metadata

        assert (told.dst_node_id, told.src_node_id) == (before.src_node_id, before.dst_node_id)
        assert (told.run_id, told.group_id) == (before.run_id, before.group_id)
        assert told.message_type == before.message_type
        assert told.reply_to_message_id == before.message_id
        assert told.message_id == ""
        assert told.created_at + told.ttl <= before.created_at + before.ttl + 0.1
        assert reply.has_content() is not reply.has_error()


@anything.quick
@given(message=anything.MESSAGES, content=anything.RECORD_DICTS, error=anything.ERRORS)
def test_content_and_error_exclude_each_other(
    message: Message, content: RecordDict, error: Error
) -> None:
    if message.has_content():
        message.content = content
        assert message.content is content
        with pytest.raises(ValueError, match="content"):
            message.error = error
    else:
        message.error = error
        assert message.error is error
        with pytest.raises(ValueError, match="error"):
            message.content = content


@anything.quick
@given(one=anything.ERRORS, other=anything.ERRORS)
def test_an_error_is_its_code_and_reason(one: Error, other: Error) -> None:
    assert (one == other) is ((one.code, one.reason) == (other.code, other.reason))
    assert anything.pickled(one) == one


@anything.quick
@given(context=anything.CONTEXTS, other=anything.CONTEXTS)
def test_a_context_survives_copies_pickles_and_the_wire(context: Context, other: Context) -> None:
    twins = (
        copy.deepcopy(context),
        anything.pickled(context),
        decode_context(encode_context(context)),
    )

    for twin in twins:
        assert twin == context
        assert is_same(twin.state, context.state)
        twin.state.clear()
        twin.run_config.clear()
    assert vars(context).keys() == vars(twins[0]).keys()
    assert (context == other) is (vars(context) == vars(other))


@anything.quick
@given(name=st.text(max_size=6))
def test_a_messages_type_is_a_category_and_an_identifier(name: str) -> None:
    is_valid = name.isidentifier()

    for category in ("train", "evaluate", "query", "system"):
        if is_valid:
            message_type = f"{category}.{name}"
            assert Message(RecordDict(), 2, message_type).metadata.message_type == message_type
        else:
            with pytest.raises(ValueError, match="Invalid message type"):
                Message(RecordDict(), 2, f"{category}.{name}")
