import json
import tracemalloc
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flwr.app.array import Array
from flwr.app.arrayrecord import ArrayRecord
from flwr.app.configrecord import ConfigRecord
from flwr.app.error import Error
from flwr.app.message import Message
from flwr.app.metricrecord import MetricRecord
from flwr.app.recorddict import RecordDict
from flwr.core.errors import InvalidError
from flwr.core.ids import NodeId, ObjectId
from flwr.core.message import ObjectTree, check_tree
from flwr.wire.chunks import CHUNK_SIZE_VARIABLE, Source
from flwr.wire.object_format import (
    MalformedObjectError,
    ObjectType,
    build_object,
    message_object,
    object_id_of,
)
from flwr.wire.objects import DeflatedMessage, deflate, inflate

MEBIBYTE = 2**20


def sent(content: RecordDict) -> DeflatedMessage:
    return deflate(Message(content, 7, "train"))


def received(message: DeflatedMessage) -> Message:
    return inflate(message.envelope, message.tree, getter(message))


def getter(message: DeflatedMessage) -> Callable[[ObjectId], bytes]:
    return lambda object_id: message.objects[object_id].make()


def array_of(data: bytes) -> Array:
    return Array("x", (len(data),), "opaque", data)


@given(
    st.dictionaries(
        st.text(max_size=5),
        st.dictionaries(st.text(max_size=5), st.binary(max_size=40), max_size=4),
        max_size=3,
    )
)
def test_arrays_survive_whatever_they_share(named: dict[str, dict[str, bytes]]) -> None:
    records = RecordDict(
        {
            name: ArrayRecord({key: array_of(data) for key, data in arrays.items()})
            for name, arrays in named.items()
        }
    )

    message = sent(records)
    check_tree(message.tree)

    assert received(message).content == records
    assert [*message.tree.walk()][-1] == ObjectId(message.envelope.message_id)
    assert message.objects.keys() == set(message.tree.walk())


def test_chunks_are_cut_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CHUNK_SIZE_VARIABLE, "4")
    records = RecordDict({"a": ArrayRecord({"w": array_of(b"aaaabbbbaaaab")})})

    message = sent(records)

    array = message.tree.children[0].children[0].children[0]
    assert len(array.children) == 3  # aaaa, bbbb, b: an equal chunk travels once
    body = message.objects[array.object_id].make().split(b"\0", 1)[1]
    assert json.loads(body)["arraychunk_ids"] == [0, 1, 0, 2]
    assert received(message).content == records


@pytest.mark.parametrize("size", ["0", "-1", "many", "", "²"])
def test_a_senseless_chunk_size_is_an_error(monkeypatch: pytest.MonkeyPatch, size: str) -> None:
    monkeypatch.setenv(CHUNK_SIZE_VARIABLE, size)

    with pytest.raises(InvalidError, match=CHUNK_SIZE_VARIABLE):
        sent(RecordDict({"a": ArrayRecord({"w": array_of(b"x")})}))


def test_an_array_changed_after_it_was_sent_is_sent_anew() -> None:
    array = array_of(b"old")
    records = RecordDict({"a": ArrayRecord()})
    records.array_records["a"]["w"] = array
    first = sent(records)

    array.data = b"new"
    second = sent(records)

    assert received(first).content.array_records["a"]["w"].data == b"old"
    assert received(second).content.array_records["a"]["w"].data == b"new"


def test_names_that_share_an_array_get_arrays_of_their_own() -> None:
    shared = array_of(b"same")
    records = RecordDict({"a": ArrayRecord({"x": shared, "y": shared})})

    arrays = received(sent(records)).content.array_records["a"]
    arrays["x"].data = b"changed"

    assert arrays["y"].data == b"same"


def test_equal_records_under_two_names_are_records_of_their_own() -> None:
    content = received(sent(RecordDict({"a": ConfigRecord(), "b": ConfigRecord()}))).content

    content.config_records["a"]["k"] = 1

    assert "k" not in content["b"]


def test_subclasses_of_records_are_sent_as_what_they_are() -> None:
    class OldRecord(MetricRecord):
        pass

    message = sent(RecordDict({"m": OldRecord({"loss": 0.5})}))

    content = message.objects[message.tree.children[0].children[0].object_id].make()
    assert content.startswith(b"MetricRecord  ")


def test_an_error_reply_consists_of_one_object() -> None:
    asked = received(sent(RecordDict()))
    failed = deflate(Message(Error(2), reply_to=asked))

    assert failed.tree.children == ()
    message = received(failed)
    assert message.error == Error(2)
    assert message.metadata.reply_to_message_id == asked.metadata.message_id


def test_objects_under_old_class_names_are_put_together() -> None:
    record = build_object(ObjectType.METRIC_RECORD, (), b"").replace(b"Metric", b"Metrics", 1)
    records = json.dumps({"m": object_id_of(record)}).encode()
    whole = build_object(ObjectType.RECORD_DICT, [object_id_of(record)], records)
    whole = whole.replace(b"RecordDict", b"RecordSet", 1)
    assert received(by_hand(whole, record)).content == RecordDict({"m": MetricRecord()})


def by_hand(*objects: bytes) -> DeflatedMessage:
    """Build a message of given objects, each the only child of the one before."""
    draft = sent(RecordDict()).envelope
    root = message_object(draft, object_id_of(objects[0]))
    tree: tuple[ObjectTree, ...] = ()
    for content in (*reversed(objects), root):
        tree = (ObjectTree(object_id_of(content), tree),)
    known = {object_id_of(content): content for content in (root, *objects)}
    sources = {object_id: Source((content,)) for object_id, content in known.items()}
    return DeflatedMessage(draft, tree[0], sources)


def chain(kind: ObjectType, *children: bytes, body: object) -> list[bytes]:
    return [build_object(kind, map(object_id_of, children), json.dumps(body).encode()), *children]


CHUNK = build_object(ObjectType.ARRAY_CHUNK, (), b"data")
CHUNK_ID = object_id_of(CHUNK)
ARRAY = {"dtype": "x", "shape": [4], "stype": "s", "arraychunk_ids": [0]}


def in_message(*array: bytes) -> DeflatedMessage:
    array_id = object_id_of(array[0])
    record = build_object(ObjectType.ARRAY_RECORD, [array_id], json.dumps({"w": array_id}).encode())
    names = json.dumps({"a": object_id_of(record)}).encode()
    whole = build_object(ObjectType.RECORD_DICT, [object_id_of(record)], names)
    return by_hand(whole, record, *array)


def test_the_hand_made_message_is_fine() -> None:
    good = in_message(*chain(ObjectType.ARRAY, CHUNK, body=ARRAY))

    assert received(good).content.array_records["a"]["w"].data == b"data"


@pytest.mark.parametrize(
    "array",
    [
        chain(ObjectType.ARRAY, CHUNK, body=ARRAY | {"arraychunk_ids": [1]}),
        chain(ObjectType.ARRAY, CHUNK, body=ARRAY | {"arraychunk_ids": [-1]}),
        chain(ObjectType.ARRAY, CHUNK, body=ARRAY | {"arraychunk_ids": None}),
        chain(ObjectType.ARRAY, CHUNK, body=ARRAY | {"shape": 4}),
        chain(ObjectType.ARRAY, CHUNK, body=ARRAY | {"dtype": 1}),
        chain(ObjectType.ARRAY, CHUNK, body=[]),
        chain(ObjectType.ARRAY, CHUNK, body={}),
        [build_object(ObjectType.ARRAY, [CHUNK_ID], b"[" * 100_000), CHUNK],
        [build_object(ObjectType.ARRAY, [CHUNK_ID], b"\xff"), CHUNK],
        chain(ObjectType.ARRAY_RECORD, CHUNK, body={"w": CHUNK_ID}),  # a chunk is no array
        chain(ObjectType.RECORD_DICT, CHUNK, body={"w": CHUNK_ID}),
        [build_object(ObjectType.CONFIG_RECORD, (), b"\xff")],
        [message_object(sent(RecordDict()).envelope, CHUNK_ID), CHUNK],
    ],
)
def test_a_nonsensical_object_below_a_message_is_refused(array: list[bytes]) -> None:
    with pytest.raises(MalformedObjectError):
        received(in_message(*array))


def test_a_message_whose_content_is_no_record_dict_is_refused() -> None:
    with pytest.raises(MalformedObjectError, match="is no RecordDict"):
        received(by_hand(build_object(ObjectType.CONFIG_RECORD, (), b"")))


def test_bytes_that_differ_from_their_id_are_refused() -> None:
    message = sent(RecordDict({"c": ConfigRecord({"k": 1})}))
    forged = build_object(ObjectType.CONFIG_RECORD, (), b"")

    def get(object_id: ObjectId) -> bytes:
        content = message.objects[object_id].make()
        return forged if content.startswith(b"ConfigRecord") else content

    with pytest.raises(MalformedObjectError, match="have another id"):
        inflate(message.envelope, message.tree, get)


def test_a_tree_that_hides_a_child_is_refused() -> None:
    message = sent(RecordDict({"c": ConfigRecord()}))
    bare = replace(message.tree, children=(replace(message.tree.children[0], children=()),))

    with pytest.raises(MalformedObjectError, match="differ from those announced"):
        inflate(message.envelope, bare, getter(message))


def test_siblings_may_be_announced_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CHUNK_SIZE_VARIABLE, "2")
    arrays = ArrayRecord({"w": array_of(b"aabbccbbdd"), "b": array_of(b"ddbbee")})
    message = sent(RecordDict({"arrays": arrays, "config": ConfigRecord({"k": 1})}))

    inflated = inflate(message.envelope, backwards(message.tree), getter(message))

    assert list(inflated.content) == ["arrays", "config"]
    assert {n: a.data for n, a in inflated.content.array_records["arrays"].items()} == {
        "w": b"aabbccbbdd",
        "b": b"ddbbee",
    }


def backwards(tree: ObjectTree) -> ObjectTree:
    return replace(tree, children=tuple(backwards(c) for c in reversed(tree.children)))


def test_an_envelope_that_says_something_else_than_the_message_is_refused() -> None:
    message = sent(RecordDict())

    with pytest.raises(MalformedObjectError, match="metadata differ"):
        inflate(replace(message.envelope, dst_node_id=NodeId(8)), message.tree, getter(message))


def test_a_message_type_outside_the_grammar_is_refused() -> None:
    odd = replace(sent(RecordDict()).envelope, message_type="no such type")
    empty = build_object(ObjectType.RECORD_DICT, (), b"{}")
    root = message_object(odd, object_id_of(empty))
    tree = ObjectTree(object_id_of(root), (ObjectTree(object_id_of(empty)),))
    known = {object_id_of(content): content for content in (root, empty)}

    with pytest.raises(MalformedObjectError):
        inflate(odd, tree, known.__getitem__)


@pytest.mark.slow
def test_a_large_model_is_never_held_twice() -> None:
    # Eight arrays of 8 MiB; one of them may exist as chunks and joined at the same time.
    content = {f"w{n}": Array(np.full(8 * MEBIBYTE, n, dtype=np.uint8)) for n in range(8)}
    message = sent(RecordDict({"a": ArrayRecord(content)}))

    tracemalloc.start()
    inflated = received(message)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert len(inflated.content.array_records["a"]) == 8
    assert peak < (64 + 2 * 8 + 6) * MEBIBYTE
