"""Operations on nodes: who may join, who is online, who is gone."""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from flwr.auth.accounts import NO_LOGIN, Account
from flwr.auth.node_keys import fingerprint, parse_public_key
from flwr.core.clock import Clock
from flwr.core.errors import AlreadyExistsError, FailedPreconditionError
from flwr.core.ids import NodeId, RunId, new_node_id
from flwr.core.limits import NODE_HEARTBEAT
from flwr.core.node import (
    Node,
    NodeNotFoundError,
    NodeStatus,
    NodeTransitionError,
    heard,
    missed_at,
    require_interval,
    unregister,
    went_offline,
)
from flwr.core.topics import node_gone
from flwr.store.remembered import Remembered
from flwr.store.store import Store, Tx
from flwr.superlink import topics
from flwr.superlink.absences import Absences
from flwr.superlink.requeue import requeue
from flwr.superlink.running import require_running

logger = logging.getLogger(__name__)

_SEEDED: Final = "seeded-node-keys"
_EVER: Final = datetime(1970, 1, 1, tzinfo=UTC)


class KeyInUseError(FailedPreconditionError):
    """A node has this key, or had it once."""

    def __init__(self) -> None:
        """Use the text the CLI compares exactly (wire contract §14.2)."""
        super().__init__("Public key already in use")


class NodeUnknownError(FailedPreconditionError):
    """No registered node has this key."""

    def __init__(self, key: str) -> None:
        """Name the key by its fingerprint."""
        super().__init__(
            f"No registered node has the public key {key}",
            hint="register it: flwr supernode register PUBLIC_KEY_FILE",
        )


class RegistrationClosedError(FailedPreconditionError):
    """Nodes may not register themselves here."""

    def __init__(self) -> None:
        """Say who can."""
        super().__init__(
            "Node authentication is on: nodes cannot register themselves",
            hint="register the node's key: flwr supernode register PUBLIC_KEY_FILE",
        )


NodeIdList = list[NodeId]


@dataclass(slots=True)
class Beat:
    """One sign of life of a node that is registered."""

    node_id: NodeId
    at: datetime
    interval_s: float  # it will be heard again within
    is_void: bool = False  # the node has said goodbye since

    def __post_init__(self) -> None:
        """Refuse an interval the contract does not allow."""
        require_interval(self.interval_s)


class Nodes:
    """Register nodes and follow their presence."""

    def __init__(
        self, store: Store, clock: Clock, absences: Absences, *, is_open: bool = True
    ) -> None:
        self._store, self._clock, self._absences = store, clock, absences
        self._is_open = is_open  # nodes may register themselves
        # Ids of registered nodes by their public keys: neither ever changes.
        self.ids = Remembered(store, node_gone, self._find_id)

    def register_self(self, public_key: bytes) -> Node:
        """Register a node at its own request.

        Raises:
            RegistrationClosedError: only listed nodes may join.
            KeyInUseError: the key belongs to a node already.
        """
        if not self._is_open:
            logger.warning(
                "Node refused: not registered",
                extra={"event": "node-refused", "fingerprint": fingerprint(public_key)},
            )
            raise RegistrationClosedError
        return self.register(NO_LOGIN, public_key)

    def register(self, owner: Account, public_key: bytes) -> Node:
        """Register a node's key for ``owner``.

        Raises:
            PublicKeyError: the bytes are no usable public key.
            KeyInUseError: the key belongs to a node already, or once did.
        """
        pem = parse_public_key(public_key)
        with self._store.transaction() as tx:
            return self._add(tx, owner, pem)

    def activate(self, public_key: bytes, interval_s: float, *, is_durable: bool) -> Node:
        """Bring a node online; one that was online already starts a new life.

        Args:
            public_key: who it is.
            interval_s: seconds between its heartbeats.
            is_durable: its inbox survives restarts, so what it confirmed is not sent again.

        Raises:
            NodeUnknownError: the key is not registered.
            InvalidError: the interval is out of range.
        """
        now = self._clock.now()
        with self._store.transaction() as tx:
            node = tx.nodes.find_by_key(public_key)
            if node is None or node.status is NodeStatus.UNREGISTERED:
                logger.warning(
                    "Node refused: unknown key",
                    extra={"event": "node-refused", "fingerprint": fingerprint(public_key)},
                )
                raise NodeUnknownError(fingerprint(public_key))
            online = heard(node, at=now, interval_s=interval_s)
            tx.nodes.save(online, was=node.status)
            renewed = node.status is NodeStatus.ONLINE
            _record(tx, online, "node.renewed" if renewed else "node.online", at=now)
            if node.status is not NodeStatus.REGISTERED:  # before, nothing is addressed to it
                requeue(tx, node.node_id, now=now, confirmed_too=not is_durable)
            tx.notify(topics.node(node.node_id))
        self._absences.present(node.node_id, is_durable=is_durable)
        logger.info("Node online", extra={"event": "node-online", "node_id": node.node_id})
        return online

    def renew(self, beats: Sequence["Beat"]) -> frozenset[NodeId]:
        """Renew the presence of every node that was heard; return those that may be present."""
        with self._store.transaction() as tx:
            present = [beat for beat in beats if not beat.is_void]
            terms = {b.node_id: (missed_at(b.at, b.interval_s), b.interval_s) for b in present}
            if tx.nodes.prolong(terms) == len(terms):  # all were online, as nearly always
                return frozenset(beat.node_id for beat in beats)
            statuses = tx.nodes.statuses([beat.node_id for beat in beats])
            gone = NodeStatus.UNREGISTERED
            known = {node_id for node_id, status in statuses.items() if status is not gone}
            for beat in present:
                if beat.node_id in known and statuses[beat.node_id] is not NodeStatus.ONLINE:
                    self._come_online(tx, beat)
        return frozenset(known)

    def note_durable(self, node_id: NodeId) -> None:
        """Note that a node keeps what it confirmed over a restart of its own."""
        self._absences.present(node_id, is_durable=True)

    def deactivate(self, node_id: NodeId) -> Node:
        """Take a node offline because it says goodbye.

        Raises:
            NodeTransitionError: it is not online.
        """
        now = self._clock.now()
        self._absences.left(node_id, at=now)
        with self._store.transaction() as tx:
            node = tx.nodes.require(node_id)
            return self._take_offline(tx, node, at=now, actor=f"node:{node_id}")

    def unregister_self(self, node_id: NodeId) -> Node:
        """Unregister a node at its own request.

        Raises:
            RegistrationClosedError: only its owner may do that here.
        """
        if not self._is_open:
            raise RegistrationClosedError
        with self._store.transaction() as tx:
            return self._remove(tx, tx.nodes.require(node_id), actor=f"node:{node_id}")

    def unregister(self, account: Account, node_id: NodeId) -> Node:
        """Unregister one of the account's nodes for good.

        Raises:
            NodeNotFoundError: unknown, gone already, or somebody else's.
        """
        with self._store.transaction() as tx:
            node = tx.nodes.find(node_id)
            if node is None or node.owner_id != account.account_id:
                raise NodeNotFoundError(node_id)
            if node.status is NodeStatus.UNREGISTERED:
                raise NodeNotFoundError(node_id)
            return self._remove(tx, node, actor=account.name)

    def list(self, account: Account) -> list[Node]:
        """Return the account's nodes, unregistered ones included."""
        with self._store.reading() as tx:
            return tx.nodes.list(owner_id=account.account_id)

    def online(self, run_id: RunId) -> NodeIdList:
        """Return the nodes a running run may address, in the order they registered.

        Raises:
            RunNotRunningError: the run is not running.
        """
        with self._store.reading() as tx:
            require_running(tx, run_id)
            # Only the reaper says who is missed; readers do not look at the clock.
            return tx.nodes.online(_EVER)

    def seed(self, public_keys: Sequence[bytes]) -> None:
        """Make the registry agree with the operator's key list.

        New keys are registered.  Keys an earlier list brought in and this one lacks are
        unregistered.  Nodes registered by the CLI are left alone.
        """
        with self._store.transaction() as tx:
            before = {key.encode() for key in json.loads(tx.meta.get(_SEEDED) or "[]")}
            for key in dict.fromkeys(public_keys):
                self._seed_one(tx, key)
            for key in before.difference(public_keys):
                node = tx.nodes.find_by_key(key)
                if node is not None and node.status is not NodeStatus.UNREGISTERED:
                    self._remove(tx, node, actor="key-list")
            tx.meta.set(_SEEDED, json.dumps([key.decode() for key in public_keys]))

    def lapse(self, tx: Tx, node: Node) -> None:
        """Take a node offline because it was not heard in time."""
        self._take_offline(tx, node, at=node.online_until or self._clock.now(), actor="superlink")

    def forgive(self, tx: Tx, now: datetime) -> None:
        """Give every online node a full patience from ``now``: the silence was ours."""
        for node in tx.nodes.list():
            if node.status is NodeStatus.ONLINE:
                interval_s = node.heartbeat_interval_s or NODE_HEARTBEAT.total_seconds()
                tx.nodes.save(heard(node, at=now, interval_s=interval_s), was=node.status)

    def _find_id(self, public_key: bytes) -> NodeId | None:
        with self._store.reading() as tx:
            node = tx.nodes.find_by_key(public_key)
        is_registered = node is not None and node.status is not NodeStatus.UNREGISTERED
        return node.node_id if node is not None and is_registered else None

    def _seed_one(self, tx: Tx, key: bytes) -> None:
        node = tx.nodes.find_by_key(key)
        if node is None:
            self._add(tx, NO_LOGIN, key)
        elif node.status is NodeStatus.UNREGISTERED:
            logger.warning(
                "Listed node key was unregistered before and stays refused",
                extra={"event": "node-key-retired", "fingerprint": fingerprint(key)},
            )

    def _come_online(self, tx: Tx, beat: "Beat") -> None:
        node = tx.nodes.require(beat.node_id)
        online = heard(node, at=beat.at, interval_s=beat.interval_s)
        tx.nodes.save(online, was=node.status)
        _record(tx, online, "node.online", at=beat.at)

    def _add(self, tx: Tx, owner: Account, public_key: bytes) -> Node:
        if tx.nodes.find_by_key(public_key) is not None:
            raise KeyInUseError
        now = self._clock.now()
        node = Node(
            node_id=new_node_id(),
            public_key=public_key,
            owner_id=owner.account_id,
            owner_name=owner.name,
            registered_at=now,
        )
        try:
            tx.nodes.add(node)
        except AlreadyExistsError as cause:
            raise KeyInUseError from cause
        _record(tx, node, "node.registered", at=now, actor=owner.name)
        return node

    def _remove(self, tx: Tx, node: Node, *, actor: str) -> Node:
        now = self._clock.now()
        gone = unregister(node, at=now)
        tx.nodes.save(gone, was=node.status)
        self._absences.forget(node.node_id)
        _record(tx, gone, "node.unregistered", at=now, actor=actor)
        _wake_askers(tx, node.node_id)
        tx.notify(topics.node(node.node_id))
        return gone

    def _take_offline(self, tx: Tx, node: Node, *, at: datetime, actor: str) -> Node:
        if node.status is not NodeStatus.ONLINE:
            raise NodeTransitionError(node, NodeStatus.OFFLINE)
        offline = went_offline(node, at=at)
        tx.nodes.save(offline, was=node.status)
        _record(tx, offline, "node.offline", at=at, actor=actor)
        _wake_askers(tx, node.node_id)
        logger.info("Node offline", extra={"event": "node-offline", "node_id": node.node_id})
        return offline


def _wake_askers(tx: Tx, node_id: NodeId) -> None:
    """Wake the runs that wait for an answer this node will not give."""
    for run_id in {i.envelope.run_id for i in tx.messages.unanswered(node_id)}:
        tx.notify(topics.run(run_id))


def _record(tx: Tx, node: Node, kind: str, *, at: datetime, actor: str = "") -> None:
    tx.events.append(
        at=at,
        kind=kind,
        actor=actor or f"node:{node.node_id}",
        node_id=node.node_id,
        details={"fingerprint": fingerprint(node.public_key)},
    )
