"""Envelopes and object trees <-> protobuf.  Knows no records, so daemons can load it cheaply."""

from collections.abc import Iterable, Sequence

from flwr.core.errors import InvalidError
from flwr.core.ids import MessageId, NodeId, ObjectId, RunId
from flwr.core.message import Delivery, Envelope, MessageError, ObjectTree, check_tree
from flwr.proto import error_pb2, message_pb2


def encode_envelope(envelope: Envelope) -> message_pb2.Message:
    """Return the message as it travels in lists: its content is present and empty (§20 no. 1)."""
    error = envelope.error
    message = message_pb2.Message(
        metadata=message_pb2.Metadata(
            run_id=envelope.run_id,
            message_id=envelope.message_id,
            src_node_id=envelope.src_node_id,
            dst_node_id=envelope.dst_node_id,
            reply_to_message_id=envelope.reply_to or "",
            group_id=envelope.group_id,
            ttl=envelope.ttl,
            message_type=envelope.message_type,
            created_at=envelope.created_at,
        ),
        error=error_pb2.Error(code=error.code, reason=error.reason) if error else None,
    )
    if error is None:
        message.content.SetInParent()
    return message


def decode_envelope(message: message_pb2.Message) -> Envelope:
    """Return what the message's metadata and error say; its content is ignored.

    Raises:
        InvalidError: it has both content and error, or neither.
    """
    has_error = message.HasField("error")
    if has_error == message.HasField("content"):
        raise InvalidError("message refused: it must have either content or an error")
    metadata = message.metadata
    return Envelope(
        message_id=MessageId(metadata.message_id),
        run_id=RunId(metadata.run_id),
        src_node_id=NodeId(metadata.src_node_id),
        dst_node_id=NodeId(metadata.dst_node_id),
        reply_to=MessageId(metadata.reply_to_message_id) or None,
        group_id=metadata.group_id,
        message_type=metadata.message_type,
        created_at=metadata.created_at,
        ttl=metadata.ttl,
        error=MessageError(message.error.code, message.error.reason) if has_error else None,
    )


def encode_tree(tree: ObjectTree) -> message_pb2.ObjectTree:
    """Return the tree with its children in the same order."""
    return message_pb2.ObjectTree(
        object_id=tree.object_id,
        children=map(encode_tree, tree.children),
    )


def decode_tree(tree: message_pb2.ObjectTree) -> ObjectTree:
    """Return the tree, checked against the limits.

    Raises:
        InvalidError: it is too large, too deep, or names something that is no object id.
    """
    decoded = _decode_subtree(tree)
    check_tree(decoded)
    return decoded


def encode_deliveries(
    deliveries: Iterable[Delivery],
) -> tuple[list[message_pb2.Message], list[message_pb2.ObjectTree]]:
    """Return the lists ``messages_list`` and ``message_object_trees``."""
    known = list(deliveries)
    messages = [encode_envelope(delivery.envelope) for delivery in known]
    return messages, [encode_tree(delivery.tree) for delivery in known]


def decode_deliveries(
    messages: Sequence[message_pb2.Message],
    trees: Sequence[message_pb2.ObjectTree],
) -> list[Delivery]:
    """Return the pairs of two lists that must have equal length.

    Raises:
        InvalidError: they have not, or a message or tree is malformed.
    """
    if len(messages) != len(trees):
        raise InvalidError(f"{len(messages)} messages came with {len(trees)} object trees")
    return [
        Delivery(decode_envelope(message), decode_tree(tree))
        for message, tree in zip(messages, trees, strict=True)
    ]


def _decode_subtree(tree: message_pb2.ObjectTree) -> ObjectTree:
    # The parser bounds the depth (protobuf refuses more than 100 levels).
    return ObjectTree(ObjectId(tree.object_id), tuple(map(_decode_subtree, tree.children)))
