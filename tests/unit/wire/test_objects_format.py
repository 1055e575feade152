import contextlib
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flwr.core.errors import ErrorKind
from flwr.core.ids import MessageId, NodeId, ObjectId, RunId
from flwr.core.message import Envelope, ErrorCode, MessageError, check_reply
from flwr.wire.object_format import (
    MalformedObjectError,
    ObjectType,
    build_object,
    check_object,
    decode_message_object,
    error_reply,
    head_of,
    message_object,
    object_id_of,
    unknown_reply,
)

A, B = ObjectId("a" * 64), ObjectId("b" * 64)
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
INSTRUCTION = Envelope(
    message_id=MessageId("c" * 64),
    run_id=RunId(5),
    src_node_id=NodeId(1),
    dst_node_id=NodeId(9),
    group_id="3",
    message_type="train",
    created_at=NOW.timestamp() - 100.0,
    ttl=3600.0,
)


@given(
    st.sampled_from(ObjectType),
    st.lists(st.sampled_from([A, B]), unique=True),
    st.binary(max_size=100),
)
def test_a_built_object_tells_what_it_was_built_from(
    kind: ObjectType, children: list[ObjectId], body: bytes
) -> None:
    content = build_object(kind, children, body)

    head = check_object(content)

    assert (head.type, head.children) == (kind, tuple(children))
    assert content[head.body_at :] == body
    assert head == check_object(memoryview(content))


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "no NUL"),
        (b"RecordDict  2{}", "no NUL"),
        (b"x" * 10_000, "no NUL"),
        (b"RecordDict 2\0{}", "2 parts"),
        (b"RecordDict   2\0{}", "4 parts"),
        (b"Pickle  2\0{}", "no type 'Pickle'"),
        (b"\xff\xfe  2\0{}", "no type"),
        (b"RecordDict ../x 2\0{}", "64 hex digits"),
        (b"RecordDict " + b"A" * 64 + b" 2\0{}", "64 hex digits"),
        (b"RecordDict " + A.encode() + b", 2\0{}", "64 hex digits"),
        (b"RecordDict  -2\0{}", "length of its body"),
        (b"RecordDict  " + b"9" * 5000 + b"\0{}", "length of its body"),
        (b"RecordDict  3\0{}", "2 bytes, its head says 3"),
        (b"RecordDict  1\0{}", "2 bytes, its head says 1"),
    ],
)
def test_a_malformed_object_is_refused_naming_the_rule(content: bytes, why: str) -> None:
    with pytest.raises(MalformedObjectError, match=why) as failure:
        check_object(content)

    assert failure.value.kind is ErrorKind.FAILED_PRECONDITION


@given(st.binary(max_size=200))
def test_no_bytes_make_the_reader_stumble(content: bytes) -> None:
    with contextlib.suppress(MalformedObjectError):
        check_object(content)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("ParametersRecord", ObjectType.ARRAY_RECORD),
        ("MetricsRecord", ObjectType.METRIC_RECORD),
        ("ConfigsRecord", ObjectType.CONFIG_RECORD),
        ("RecordSet", ObjectType.RECORD_DICT),
    ],
)
def test_old_class_names_are_read(old: str, new: ObjectType) -> None:
    assert head_of(f"{old}  0\0".encode()).type is new


def test_a_head_longer_than_one_look_is_found() -> None:
    children = [ObjectId(f"{n:064x}") for n in range(1000)]

    assert check_object(build_object(ObjectType.ARRAY, children, b"{}")).children == tuple(children)


@pytest.mark.parametrize("error", [None, MessageError(0), MessageError(2, "Zero")])
def test_a_messages_object_tells_the_envelope_with_its_own_id(error: MessageError | None) -> None:
    envelope = replace(INSTRUCTION, error=error)

    content = message_object(envelope, None if error else A)

    assert decode_message_object(content) == replace(
        envelope, message_id=MessageId(object_id_of(content))
    )


@pytest.mark.parametrize(
    "content",
    [
        build_object(ObjectType.RECORD_DICT, (), b"{}"),
        build_object(ObjectType.MESSAGE, (), b"\xff"),
        build_object(ObjectType.MESSAGE, (), b""),  # neither child nor error
        build_object(ObjectType.MESSAGE, (A, B), b""),
        message_object(replace(INSTRUCTION, error=MessageError(1)), A),  # both
    ],
)
def test_what_is_no_object_of_a_message_is_refused(content: bytes) -> None:
    with pytest.raises(MalformedObjectError):
        decode_message_object(content)


def test_an_error_reply_answers_its_instruction_and_dies_with_it() -> None:
    reply, content = error_reply(
        INSTRUCTION, ErrorCode.CLIENT_APP_CRASHED, "killed by SIGKILL", now=NOW
    )

    check_reply(reply, INSTRUCTION, expires_at=INSTRUCTION.created_at + INSTRUCTION.ttl)
    assert reply.ttl == 3500.0
    assert reply.error == MessageError(8, "killed by SIGKILL")
    assert (reply.group_id, reply.message_type) == ("3", "train")
    assert ObjectId(reply.message_id) == object_id_of(content)
    assert decode_message_object(content) == reply


def test_an_error_reply_to_what_seems_expired_is_still_accepted() -> None:
    late = replace(INSTRUCTION, created_at=NOW.timestamp() - 4000.0)

    reply, _ = error_reply(late, ErrorCode.NODE_UNAVAILABLE, "", now=NOW)

    check_reply(reply, late, expires_at=late.created_at + late.ttl)


def test_the_superlink_answers_in_its_own_name() -> None:
    reply, _ = error_reply(
        INSTRUCTION, ErrorCode.NODE_UNAVAILABLE, "offline", now=NOW, src=NodeId(1)
    )

    assert (reply.src_node_id, reply.dst_node_id, reply.run_id) == (1, 1, 5)


def test_an_unknown_instruction_is_answered_without_run() -> None:
    reply, content = unknown_reply(MessageId(A), "unknown", now=NOW)

    assert (reply.run_id, reply.src_node_id, reply.dst_node_id) == (0, 1, 1)
    assert reply.reply_to == MessageId(A)
    assert (reply.message_type, reply.ttl, reply.group_id) == ("system", 0.0, "")
    assert reply.error == MessageError(3, "unknown")
    assert decode_message_object(content) == reply
