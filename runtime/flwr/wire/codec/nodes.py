"""Nodes <-> protobuf."""

from datetime import UTC, datetime

from flwr.core.errors import InvalidError
from flwr.core.ids import AccountId, NodeId
from flwr.core.node import Node, NodeStatus
from flwr.proto import node_pb2
from flwr.wire.codec.runs import decode_time, encode_time


def encode_node(node: Node) -> node_pb2.NodeInfo:
    """Return what the node's owner may see; instants not reached stay absent."""
    return node_pb2.NodeInfo(
        node_id=node.node_id,
        owner_aid=node.owner_id,
        owner_name=node.owner_name,
        status=node.status,
        registered_at=encode_time(node.registered_at),
        last_activated_at=encode_time(node.activated_at) or None,
        last_deactivated_at=encode_time(node.deactivated_at) or None,
        unregistered_at=encode_time(node.unregistered_at) or None,
        online_until=node.online_until.timestamp() if node.online_until else None,
        heartbeat_interval=node.heartbeat_interval_s,
        public_key=node.public_key,
    )


def decode_node(info: node_pb2.NodeInfo) -> Node:
    """Return the node.

    Raises:
        InvalidError: the status or a time cannot be read.
    """
    registered_at = decode_time(info.registered_at)
    if registered_at is None or info.status not in set(NodeStatus):
        raise InvalidError(f"node {info.node_id}: status {info.status!r} or time of registration")
    online_until = (
        datetime.fromtimestamp(info.online_until, UTC) if info.HasField("online_until") else None
    )
    return Node(
        node_id=NodeId(info.node_id),
        public_key=info.public_key,
        owner_id=AccountId(info.owner_aid),
        owner_name=info.owner_name,
        status=NodeStatus(info.status),
        registered_at=registered_at,
        activated_at=decode_time(info.last_activated_at),
        deactivated_at=decode_time(info.last_deactivated_at),
        unregistered_at=decode_time(info.unregistered_at),
        online_until=online_until,
        heartbeat_interval_s=info.heartbeat_interval,
    )
