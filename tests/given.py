"""Builders of values for tests: valid by default, every field can be overridden."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256
from itertools import count
from typing import Any

from flwr.core.federation import DEFAULT_FEDERATION
from flwr.core.ids import (
    SUPERLINK_NODE,
    FabHash,
    MessageId,
    NodeId,
    ObjectId,
    RunId,
    new_node_id,
    new_run_id,
)
from flwr.core.lease import AppKind, Lease
from flwr.core.message import Envelope, ObjectTree
from flwr.core.node import NO_ACCOUNT_ID, NO_ACCOUNT_NAME, Node, NodeStatus
from flwr.core.run import Run, RunStatus

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)  # where FakeClock starts
_numbers = count(1)


def object_id(content: bytes) -> ObjectId:
    return ObjectId(sha256(content).hexdigest())


def message_id() -> MessageId:
    return MessageId(object_id(f"message {next(_numbers)}".encode()))


def run(**fields: Any) -> Run:
    defaults: dict[str, Any] = {
        "run_id": new_run_id(),
        "fab_id": "publisher/app",
        "fab_version": "1.0.0",
        "fab_hash": FabHash(object_id(b"fab")),
        "federation": DEFAULT_FEDERATION,
        "account_id": NO_ACCOUNT_ID,
        "account_name": NO_ACCOUNT_NAME,
        "pending_at": NOW,
    }
    return Run(**{**defaults, **fields})


def running_run(**fields: Any) -> Run:
    at = {"status": RunStatus.RUNNING, "starting_at": NOW, "running_at": NOW}
    return run(**{**at, **fields})


def node(**fields: Any) -> Node:
    defaults: dict[str, Any] = {
        "node_id": new_node_id(),
        "public_key": f"-----BEGIN PUBLIC KEY----- {next(_numbers)}".encode(),
        "registered_at": NOW,
    }
    return Node(**{**defaults, **fields})


def online_node(**fields: Any) -> Node:
    heard = {
        "status": NodeStatus.ONLINE,
        "activated_at": NOW,
        "online_until": NOW + timedelta(minutes=1),
        "heartbeat_interval_s": 30.0,
    }
    return node(**{**heard, **fields})


def instruction(**fields: Any) -> Envelope:
    defaults: dict[str, Any] = {
        "message_id": message_id(),
        "run_id": RunId(7),
        "src_node_id": SUPERLINK_NODE,
        "dst_node_id": NodeId(11),
        "group_id": "1",
        "message_type": "train",
        "created_at": NOW.timestamp(),
        "ttl": 3600.0,
    }
    return Envelope(**{**defaults, **fields})


def reply(to: Envelope, **fields: Any) -> Envelope:
    defaults: dict[str, Any] = {
        "message_id": message_id(),
        "run_id": to.run_id,
        "src_node_id": to.dst_node_id,
        "dst_node_id": SUPERLINK_NODE,
        "reply_to": to.message_id,
        "group_id": to.group_id,
        "message_type": to.message_type,
        "created_at": to.created_at + 1,
        "ttl": to.ttl - 1,
    }
    return Envelope(**{**defaults, **fields})


def tree(message: Envelope, *contents: bytes) -> ObjectTree:
    """Return the tree of ``message`` with one child per content."""
    children = tuple(ObjectTree(object_id(content)) for content in contents)
    return ObjectTree(ObjectId(message.message_id), children)


def lease(**fields: Any) -> Lease:
    defaults: dict[str, Any] = {
        "token_hash": object_id(f"token {next(_numbers)}".encode()),
        "kind": AppKind.SERVERAPP,
        "run_id": RunId(7),
        "message_id": None,
        "granted_at": NOW,
        "until": NOW + timedelta(minutes=1),
    }
    return Lease(**{**defaults, **fields})
