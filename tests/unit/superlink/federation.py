"""A SuperLink's operations over one real store, and the moves every test begins with."""

from dataclasses import dataclass, field
from datetime import timedelta

from flwr.auth.accounts import NO_LOGIN
from flwr.auth.node_keys import NodeKey, new_node_key
from flwr.core.ids import SUPERLINK_NODE, MessageId, NodeId, ObjectId, RunId
from flwr.core.message import Delivery, Envelope, ObjectTree
from flwr.core.node import Node
from flwr.core.run import Run
from flwr.store.store import Store
from flwr.superlink.absences import Absences
from flwr.superlink.launches import Launches
from flwr.superlink.logs import Logs
from flwr.superlink.messages import MessageExchange
from flwr.superlink.nodes import Beat, Nodes
from flwr.superlink.objects import Objects
from flwr.superlink.reaper import Reaper
from flwr.superlink.runs import Runs, Submission
from flwr.superlink.traffic import Traffic
from flwr.superlink.uploads import Uploads
from flwr.wire.object_format import ObjectType, build_object, message_object, object_id_of
from tests.fakes.clock import FakeClock

INTERVAL_S = 30.0


@dataclass(frozen=True)
class Sent:
    """A message and the bytes of its objects."""

    delivery: Delivery
    objects: dict[ObjectId, bytes]

    @property
    def message_id(self) -> MessageId:
        return self.delivery.envelope.message_id


@dataclass
class Link:
    """All operations, as the daemon builds them."""

    store: Store
    clock: FakeClock
    fab: bytes
    is_open: bool = True
    rung: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.traffic, self.uploads, self.absences = Traffic(), Uploads(), Absences()
        self.runs = Runs(self.store, self.clock)
        self.launches = Launches(self.store, self.clock)
        self.nodes = Nodes(self.store, self.clock, self.absences, is_open=self.is_open)
        self.messages = MessageExchange(
            self.store,
            self.clock,
            traffic=self.traffic,
            uploads=self.uploads,
            absences=self.absences,
        )
        self.objects = Objects(self.store, self.traffic, self.uploads)
        self.logs = Logs(self.store, self.clock)
        self.reaper = Reaper(
            self.store,
            self.clock,
            nodes=self.nodes,
            launches=self.launches,
            messages=self.messages,
        )
        self.store.subscribe(self.rung.extend)

    def submit(self, **fields: object) -> Run:
        wanted: dict[str, object] = {"fab": self.fab, "override_config": {}}
        return self.runs.submit(NO_LOGIN, Submission(**{**wanted, **fields}))  # type: ignore[arg-type]

    def running(self) -> tuple[Run, str]:
        """Return a run that is running, and the token of its ServerApp."""
        run = self.submit()
        token = self.launches.grant(run.run_id)
        self.launches.pull_inputs(self.hash_of(token))
        return self.run(run.run_id), token

    def run(self, run_id: RunId) -> Run:
        with self.store.reading() as tx:
            return tx.runs.require(run_id)

    def hash_of(self, token: str) -> str:
        from flwr.auth.app_tokens import hash_token

        return hash_token(token)

    def online(self, key: NodeKey | None = None, *, is_durable: bool = False) -> Node:
        public = (key or new_node_key()).public_pem
        if self.nodes.ids.find(public) is None:
            self.nodes.register(NO_LOGIN, public)
        return self.nodes.activate(public, INTERVAL_S, is_durable=is_durable)

    def beat(self, node_id: NodeId, interval_s: float = INTERVAL_S) -> bool:
        """Hear a heartbeat; tell whether the node may be present."""
        return node_id in self.nodes.renew([Beat(node_id, self.clock.now(), interval_s)])

    def instruction(self, run: Run, node_id: NodeId, **fields: object) -> Sent:
        return message(
            run_id=run.run_id,
            src_node_id=SUPERLINK_NODE,
            dst_node_id=node_id,
            created_at=self.clock.now().timestamp(),
            **fields,
        )

    def send(self, run: Run, node_id: NodeId, **fields: object) -> Sent:
        """Enqueue an instruction with all its objects."""
        sent = self.instruction(run, node_id, **fields)
        missing = self.messages.enqueue(run.run_id, [sent.delivery]).missing
        for object_id in missing:
            assert self.objects.put(run.run_id, object_id, sent.objects[object_id])
        return sent

    def reply_to(self, sent: Sent, **fields: object) -> Sent:
        asked = sent.delivery.envelope
        wanted: dict[str, object] = {
            "run_id": asked.run_id,
            "src_node_id": asked.dst_node_id,
            "dst_node_id": SUPERLINK_NODE,
            "reply_to": asked.message_id,
            "created_at": self.clock.now().timestamp(),
            "ttl": asked.created_at + asked.ttl - self.clock.now().timestamp(),
        }
        return message(**{**wanted, **fields})

    def answer(self, sent: Sent, **fields: object) -> Sent:
        """Push a reply with all its objects."""
        reply = self.reply_to(sent, **fields)
        node_id = sent.delivery.envelope.dst_node_id
        answered = self.messages.accept_reply(node_id, reply.delivery, runtime_s=1.0)
        assert answered.message_id == reply.message_id
        run_id = sent.delivery.envelope.run_id
        for object_id in answered.missing:
            content = reply.objects[object_id]
            assert self.objects.put(run_id, object_id, content, node_id=node_id)
        return reply

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(timedelta(seconds=seconds))

    def kinds(self, run_id: RunId | None = None) -> list[str]:
        with self.store.reading() as tx:
            return [event.kind for event in tx.events.list(run_id=run_id)]


def message(*, payload: object = b"", **fields: object) -> Sent:
    """Return a message with one record of these bytes, its id computed from its own."""
    assert isinstance(payload, bytes)
    record = build_object(ObjectType.CONFIG_RECORD, (), payload)
    body = f'{{"config": "{object_id_of(record)}"}}'.encode()
    content = build_object(ObjectType.RECORD_DICT, (object_id_of(record),), body)
    wanted: dict[str, object] = {
        "message_id": MessageId(""),
        "message_type": "train",
        "group_id": "1",
        "ttl": 3600.0,
    }
    draft = Envelope(**{**wanted, **fields})  # type: ignore[arg-type]
    top = message_object(draft, object_id_of(content))
    top_id = object_id_of(top)
    envelope = Envelope(**{**wanted, **fields, "message_id": MessageId(top_id)})  # type: ignore[arg-type]
    branch = ObjectTree(object_id_of(content), (ObjectTree(object_id_of(record)),))
    objects = {object_id_of(part): part for part in (record, content, top)}
    return Sent(Delivery(envelope, ObjectTree(top_id, (branch,))), objects)
