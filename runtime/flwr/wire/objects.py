"""Messages of apps <-> trees of objects (wire contract §8), without holding anything twice.

``deflate`` hashes arrays in place and makes an object's bytes only when they are asked for.
``inflate`` asks for one object at a time, children first, and lets go of chunks as soon as their
array is joined.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any

from google.protobuf.message import DecodeError

from flwr.app.array import Array, derived, lend
from flwr.app.arrayrecord import ArrayRecord
from flwr.app.configrecord import ConfigRecord
from flwr.app.error import Error
from flwr.app.message import Message, restore
from flwr.app.metadata import Metadata
from flwr.app.metricrecord import MetricRecord
from flwr.app.recorddict import RecordDict, RecordType
from flwr.core.errors import InvalidError
from flwr.core.ids import MessageId, NodeId, ObjectId, RunId
from flwr.core.limits import ENCLOSED_MESSAGE_BYTES
from flwr.core.message import Delivery, Envelope, MessageError, ObjectTree
from flwr.proto import recorddict_pb2
from flwr.wire.chunks import Source, chunks_and_ids
from flwr.wire.codec.records import (
    decode_config_record,
    decode_metric_record,
    encode_config_record,
    encode_metric_record,
)
from flwr.wire.object_format import (
    Content,
    MalformedObjectError,
    ObjectHead,
    ObjectType,
    build_object,
    check_object,
    decode_message_object,
    message_object,
    object_id_of,
)


@dataclass(frozen=True, slots=True)
class DeflatedMessage:
    """A message ready to be sent: what is announced, and where the bytes come from."""

    envelope: Envelope
    tree: ObjectTree
    objects: Mapping[ObjectId, Source]

    def delivery(
        self,
        at_most: int = ENCLOSED_MESSAGE_BYTES,
        known: Mapping[ObjectId, bytes] = MappingProxyType({}),
    ) -> Delivery:
        """Return it as it is announced: a small message brings its objects along.

        Args:
            at_most: how many bytes are small.
            known: objects that another message has made already.
        """
        if sum(source.size for source in self.objects.values()) > at_most:
            return Delivery(self.envelope, self.tree)
        contents = {i: known.get(i) or source.make() for i, source in self.objects.items()}
        return Delivery(self.envelope, self.tree, contents)


def deflate(message: Message) -> DeflatedMessage:
    """Return ``message`` as a tree of objects.

    Hashes of an array are kept with it, so a model sent to many nodes is hashed once.

    Raises:
        InvalidError: an integer in a record needs more than 64 bits.
    """
    objects: dict[ObjectId, Source] = {}
    children: tuple[ObjectTree, ...] = ()
    if message.has_content():
        children = (_deflate_records(message.content, objects),)
    content = message_object(_envelope_of(message), children[0].object_id if children else None)
    tree = _add(content, children, objects)
    return DeflatedMessage(_envelope_of(message, tree.object_id), tree, objects)


def inflate(
    envelope: Envelope,
    tree: ObjectTree,
    get: Callable[[ObjectId], Content],
    *,
    is_verified: bool = False,
) -> Message:
    """Return the message whose objects ``tree`` names.

    Args:
        envelope: what the peer announced; the objects must tell the same.
        tree: its root is the message's own object.
        get: returns an object's bytes; called once per id, in the order of ``tree.walk()``.
        is_verified: ``get`` returns nothing that differs from its id.

    Raises:
        MalformedObjectError: an object's bytes differ from its id, break the format, or
            contradict the tree or the envelope.
    """
    parts = _Parts(tree, is_verified=is_verified)
    content: Content = b""
    for node in _unique_nodes(tree, set()):
        content = get(node.object_id)
        if node is not tree:
            parts.add(node, content)
    head = _check(tree, content, is_verified=is_verified)
    told = decode_message_object(content)
    if _identity(told) != _identity(envelope):
        raise MalformedObjectError("its metadata differ from those announced")
    error = Error(told.error.code, told.error.reason or None) if told.error else None
    try:
        return restore(_metadata_of(told), parts.content(head.children), error)
    except ValueError as cause:
        raise MalformedObjectError(str(cause)) from cause


def _deflate_records(records: RecordDict, objects: dict[ObjectId, Source]) -> ObjectTree:
    trees = {name: _deflate_record(record, objects) for name, record in records.items()}
    return _add_names(ObjectType.RECORD_DICT, trees, objects)


def _deflate_record(record: RecordType, objects: dict[ObjectId, Source]) -> ObjectTree:
    match record:
        case ArrayRecord():
            arrays = {name: _deflate_array(array, objects) for name, array in record.items()}
            return _add_names(ObjectType.ARRAY_RECORD, arrays, objects)
        case MetricRecord():
            body = encode_metric_record(record).SerializeToString(deterministic=True)
            return _add(build_object(ObjectType.METRIC_RECORD, (), body), (), objects)
        case ConfigRecord():
            body = encode_config_record(record).SerializeToString(deterministic=True)
            return _add(build_object(ObjectType.CONFIG_RECORD, (), body), (), objects)


def _add_names(
    kind: ObjectType,
    trees: Mapping[str, ObjectTree],
    objects: dict[ObjectId, Source],
) -> ObjectTree:
    """Add an object that maps names to its children; a child used twice is listed once."""
    names = {name: tree.object_id for name, tree in trees.items()}
    children = {tree.object_id: tree for tree in trees.values()}
    content = build_object(kind, children, json.dumps(names).encode())
    return _add(content, tuple(children.values()), objects)


def _add(
    content: bytes,
    children: tuple[ObjectTree, ...],
    objects: dict[ObjectId, Source],
) -> ObjectTree:
    object_id = object_id_of(content)
    objects[object_id] = Source((content,))
    return ObjectTree(object_id, children)


@dataclass(frozen=True, slots=True)
class _ArrayPlan:
    """An array's own object, and where its chunks lie in its data."""

    tree: ObjectTree
    content: bytes
    chunks: Mapping[ObjectId, Source]


def _deflate_array(array: Array, objects: dict[ObjectId, Source]) -> ObjectTree:
    plan = derived(array, _plan_of)
    objects.update(plan.chunks)
    return _add(plan.content, plan.tree.children, objects)


def _plan_of(array: Array) -> _ArrayPlan:
    chunks, ids = chunks_and_ids(array)
    index_of = {object_id: index for index, object_id in enumerate(dict.fromkeys(ids))}
    body = {
        "dtype": array.dtype,
        "shape": list(array.shape),
        "stype": array.stype,
        "arraychunk_ids": [index_of[object_id] for object_id in ids],
    }
    content = build_object(ObjectType.ARRAY, index_of, json.dumps(body).encode())
    tree = ObjectTree(object_id_of(content), tuple(map(ObjectTree, index_of)))
    return _ArrayPlan(tree, content, dict(zip(ids, chunks, strict=True)))


def _envelope_of(message: Message, message_id: str = "") -> Envelope:
    metadata = message.metadata
    error = message.error if message.has_error() else None
    return Envelope(
        message_id=MessageId(message_id),
        run_id=RunId(metadata.run_id),
        src_node_id=NodeId(metadata.src_node_id),
        dst_node_id=NodeId(metadata.dst_node_id),
        reply_to=MessageId(metadata.reply_to_message_id) or None,
        group_id=metadata.group_id,
        message_type=metadata.message_type,
        created_at=metadata.created_at,
        ttl=metadata.ttl,
        error=MessageError(error.code, error.reason or "") if error else None,
    )


def _metadata_of(envelope: Envelope) -> Metadata:
    return Metadata(
        run_id=envelope.run_id,
        message_id=envelope.message_id,
        src_node_id=envelope.src_node_id,
        dst_node_id=envelope.dst_node_id,
        reply_to_message_id=envelope.reply_to or "",
        group_id=envelope.group_id,
        created_at=envelope.created_at,
        ttl=envelope.ttl,
        message_type=envelope.message_type,
    )


def _identity(envelope: Envelope) -> tuple[object, ...]:
    """Return what servers judge a message by; a sender may not say one thing and send another."""
    return (envelope.run_id, envelope.src_node_id, envelope.dst_node_id, envelope.reply_to)


def _unique_nodes(tree: ObjectTree, seen: set[ObjectId]) -> Iterator[ObjectTree]:
    """Yield the first subtree of every id, in the order of ``tree.walk()``."""
    if tree.object_id in seen:
        return
    for child in tree.children:
        yield from _unique_nodes(child, seen)
    seen.add(tree.object_id)
    yield tree


def _check(node: ObjectTree, content: Content, *, is_verified: bool) -> ObjectHead:
    if not is_verified and object_id_of(content) != node.object_id:
        raise MalformedObjectError(f"the bytes of {node.object_id} have another id")
    head = check_object(content)
    # As sets: a server may announce siblings in any order (upstream's does). The order that
    # counts, by which an array finds its chunks, is the one in the object itself.
    if frozenset(head.children) != {child.object_id for child in node.children}:
        raise MalformedObjectError(f"the children of {node.object_id} differ from those announced")
    return head


class _Parts:
    """Objects below a message that have arrived, put together as far as possible."""

    def __init__(self, tree: ObjectTree, *, is_verified: bool) -> None:
        self._is_verified = is_verified
        self._chunks: dict[ObjectId, memoryview] = {}
        self._arrays: dict[ObjectId, Array] = {}
        self._records: dict[ObjectId, Callable[[], RecordType]] = {}
        self._dicts: dict[ObjectId, Mapping[str, Callable[[], RecordType]]] = {}
        # How many parents still need a chunk; equal chunks of many arrays are one object.
        self._uses = Counter(
            child.object_id for node in _unique_nodes(tree, set()) for child in node.children
        )

    def add(self, node: ObjectTree, content: Content) -> None:
        """Take in an object whose children are here."""
        head = _check(node, content, is_verified=self._is_verified)
        body = memoryview(content)[head.body_at :]
        try:
            self._add(node.object_id, head, body)
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as cause:
            raise MalformedObjectError(
                f"body of {head.type} {node.object_id}: {cause!r}"
            ) from cause
        except (DecodeError, InvalidError) as cause:
            raise MalformedObjectError(f"body of {head.type} {node.object_id}: {cause}") from cause

    def content(self, children: Iterable[ObjectId]) -> RecordDict | None:
        """Return the records of a message with these children; None for an error."""
        for object_id in children:
            if object_id not in self._dicts:
                raise MalformedObjectError(f"{object_id} is no RecordDict")
            made = {name: make() for name, make in self._dicts[object_id].items()}
            return RecordDict(made)
        return None

    def _add(self, object_id: ObjectId, head: ObjectHead, body: memoryview) -> None:
        match head.type:
            case ObjectType.ARRAY_CHUNK:
                self._chunks[object_id] = body
            case ObjectType.ARRAY:
                self._arrays[object_id] = self._join(head, json.loads(str(body, "utf-8")))
            case ObjectType.ARRAY_RECORD:
                arrays = {n: self._arrays[i] for n, i in json.loads(str(body, "utf-8")).items()}
                self._records[object_id] = partial(ArrayRecord, arrays)
            case ObjectType.METRIC_RECORD:
                metrics = recorddict_pb2.MetricRecord.FromString(bytes(body))
                self._records[object_id] = partial(decode_metric_record, metrics)
            case ObjectType.CONFIG_RECORD:
                config = recorddict_pb2.ConfigRecord.FromString(bytes(body))
                self._records[object_id] = partial(decode_config_record, config)
            case ObjectType.RECORD_DICT:
                names: Mapping[str, ObjectId] = json.loads(str(body, "utf-8"))
                self._dicts[object_id] = {n: self._records[i] for n, i in names.items()}
            case ObjectType.MESSAGE:
                raise TypeError("a Message inside a Message")

    def _join(self, head: ObjectHead, described: Mapping[str, Any]) -> Array:
        children = dict(enumerate(head.children))
        ids = [children[index] for index in described["arraychunk_ids"]]
        chunks = [self._chunks[object_id] for object_id in ids]
        dtype, shape, stype = (described[name] for name in ("dtype", "shape", "stype"))
        if not (isinstance(dtype, str) and isinstance(stype, str)):
            raise TypeError("an Array's dtype and stype are text")
        if not all(isinstance(length, int) for length in shape):
            raise TypeError("an Array's shape are numbers")
        array = lend(dtype, tuple(shape), stype, *chunks, ids=ids)
        for object_id in head.children:
            self._uses[object_id] -= 1
            if not self._uses[object_id]:
                del self._chunks[object_id]
        return array
