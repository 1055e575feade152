"""Builders: a site with a real store, runs with a real bundle, instructions with real objects."""

import asyncio
import hashlib
import tempfile
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cache
from pathlib import Path

from flwr.core.ids import SUPERLINK_NODE, AccountId, MessageId, NodeId, ObjectId, RunId
from flwr.core.lease import Lease
from flwr.core.message import Delivery, Envelope, ObjectTree
from flwr.core.run import Run, RunStatus
from flwr.core.run_config import Config, ConfigValue
from flwr.fab.build import BuiltFab, build_fab
from flwr.fab.verify import verify_fab
from flwr.shell.executors import Executors
from flwr.shell.in_thread import threaded
from flwr.store.fabs import Fab
from flwr.store.store import Store, open_store
from flwr.supernode.apps import AppSessions
from flwr.supernode.fleet import FleetSession, Patience
from flwr.supernode.handover import Handover
from flwr.supernode.identity import NodeIdentity
from flwr.supernode.inbox import Inbox
from flwr.supernode.intake import Intake
from flwr.supernode.launches import WholeLaunches
from flwr.supernode.leases import AppLeases
from flwr.supernode.membership import Membership
from flwr.supernode.outbox import Outbox
from flwr.supernode.runs import RunBook
from flwr.supernode.sent import SentReplies
from flwr.supernode.stopwatches import Stopwatches
from flwr.wire.clients.fleet import FetchedFab
from flwr.wire.diagnose import ConnectionRefusedByPeerError
from flwr.wire.object_format import ObjectType, build_object, message_object, object_id_of
from tests.fakes.clock import FakeClock
from tests.fakes.wakeups import WatchedWakeups
from tests.unit.fab import given as given_app
from tests.unit.supernode.fakes import FakeFleet

NODE = NodeId(77)
RUN = RunId(2**63 + 5)
OTHER_RUN = RunId(6)
OPEN_STORES: list[Store] = []  # closed after each test


def store() -> Store:
    OPEN_STORES.append(open_store(":memory:"))
    return OPEN_STORES[-1]


@cache
def fab() -> BuiltFab:
    with tempfile.TemporaryDirectory() as folder:
        return build_fab(given_app.app(Path(folder)))


def stored_fab(verifications: Mapping[str, str] | None = None) -> Fab:
    return Fab(fab().fab_hash, fab().content, dict(verifications or {}))


def sent_fab() -> FetchedFab:
    return FetchedFab(fab().fab_hash, fab().content)


def read_defaults(content: bytes) -> Config:
    return verify_fab(content).manifest.config


def run(clock: FakeClock, run_id: RunId = RUN, **overrides: ConfigValue) -> Run:
    return Run(
        run_id=run_id,
        fab_id="acme/tiny-app",
        fab_version="1.2.3",
        fab_hash=fab().fab_hash,
        override_config=overrides,
        federation="@none/default",
        account_id=AccountId("<id:none>"),
        account_name="none",
        status=RunStatus.RUNNING,
        pending_at=clock.now(),
        running_at=clock.now(),
    )


@dataclass(frozen=True)
class Sent:
    """A message with everything it consists of."""

    delivery: Delivery
    contents: Mapping[ObjectId, bytes]

    @property
    def message_id(self) -> MessageId:
        return self.delivery.envelope.message_id


def instruction(
    clock: FakeClock,
    run_id: RunId = RUN,
    *,
    text: str = "",
    payload: bytes = b"",
    ttl: float = 600.0,
) -> Sent:
    """Make a message with a RecordDict, and a chunk of ``payload`` where one is given."""
    return _sent(
        Envelope(
            message_id=MessageId(""),
            run_id=run_id,
            src_node_id=SUPERLINK_NODE,
            dst_node_id=NODE,
            group_id=text,
            message_type="train",
            created_at=clock.now().timestamp(),
            ttl=ttl,
        ),
        payload,
    )


def reply(asked: Envelope, clock: FakeClock, *, payload: bytes = b"") -> Sent:
    """Make the reply an app gives to ``asked``."""
    now = clock.now().timestamp()
    return _sent(
        Envelope(
            message_id=MessageId(""),
            run_id=asked.run_id,
            src_node_id=asked.dst_node_id,
            dst_node_id=SUPERLINK_NODE,
            reply_to=asked.message_id,
            group_id=asked.group_id,
            message_type=asked.message_type,
            created_at=now,
            ttl=asked.created_at + asked.ttl - now,
        ),
        payload,
    )


def _sent(draft: Envelope, payload: bytes) -> Sent:
    contents: dict[ObjectId, bytes] = {}

    def keep(content: bytes) -> ObjectId:
        contents[ObjectId(hashlib.sha256(content).hexdigest())] = content
        return object_id_of(content)

    chunks = [keep(build_object(ObjectType.ARRAY_CHUNK, (), payload))] if payload else []
    records = keep(build_object(ObjectType.RECORD_DICT, chunks, b"{}"))
    root = keep(message_object(draft, records))
    tree = ObjectTree(root, (ObjectTree(records, tuple(map(ObjectTree, chunks))),))
    fields = {name: getattr(draft, name) for name in Envelope.__slots__}
    envelope = Envelope(**{**fields, "message_id": MessageId(root)})
    return Sent(Delivery(envelope, tree), contents)


@dataclass
class Site:
    """A node without its edges."""

    clock: FakeClock = field(default_factory=FakeClock)
    max_apps: int = 2
    distrust: str | None = None
    store: Store = field(default_factory=store)
    fleet: FakeFleet = field(default_factory=FakeFleet)

    def __post_init__(self) -> None:
        self.identity = NodeIdentity(registers_itself=True, is_ephemeral=True)
        self.identity.become(NODE)
        self.rung: list[str] = []
        self.store.subscribe(self.rung.extend)
        self.stopwatches = Stopwatches(self.clock)
        self.sent = SentReplies(self.store, self.clock)
        self.leases = AppLeases(self.store, self.clock, self.identity, max_apps=self.max_apps)
        self.apps = AppSessions(
            self.store,
            self.clock,
            self.identity,
            node_config={"partition-id": 3},
            stopwatches=self.stopwatches,
            read_defaults=read_defaults,
            replied=self._offer,
        )
        self.launches = WholeLaunches(self.store, self.clock, self.leases, self.apps, self.sent)
        self.runs = RunBook(self.store, self.clock, self.identity)
        self.membership = Membership(self.store, self.runs, self.clock)

    def _offer(self, reply: Delivery) -> None:
        if hasattr(self, "outbox"):
            self.outbox.offer(reply)

    def connect(self, patience: Patience | None = None) -> None:
        """Build the parts that need a running loop."""
        self.wakeups = WatchedWakeups()
        self.fleet.secure = threaded(self.store.settle_objects)
        self.store.subscribe(self.wakeups.ring)
        self.session = FleetSession(
            self.fleet,
            self.identity,
            self.clock,
            fingerprint="SHA256:test",
            remembers=self.membership.remembers,
            adopt=self.membership.adopt,
            explain=lambda: ConnectionRefusedByPeerError("superlink:9092"),
            patience=patience or Patience(),
        )
        self.intake = Intake(
            self.store,
            self.clock,
            self.identity,
            self.session,
            self.runs,
            self.sent,
            self.launches,
            is_trusted=lambda _fab: self.distrust,
        )
        self.handover = Handover(self.launches, self.wakeups, Executors(self.clock))
        self.inbox = Inbox(self.session, self.runs, self.intake, self.handover, self.clock)
        self.outbox = Outbox(
            self.store,
            self.clock,
            self.session,
            self.runs,
            self.stopwatches,
            self.wakeups,
            self.sent,
        )

    def admit(self, run_id: RunId = RUN, **overrides: ConfigValue) -> Run:
        """Make a run known, with its bundle."""
        admitted = run(self.clock, run_id, **overrides)
        assert self.runs.admit(admitted, stored_fab())
        return admitted

    def take_in(self, run_id: RunId = RUN, *, text: str = "", ttl: float = 600.0) -> Sent:
        """Store a complete instruction, as the inbox leaves it."""
        if self.runs.find_live(run_id) is None:
            self.admit(run_id)
        sent = instruction(self.clock, run_id, text=text, ttl=ttl)
        now, envelope = self.clock.now(), sent.delivery.envelope
        with self.store.transaction() as tx:
            tx.messages.add_instruction(
                envelope, sent.delivery.tree, now=now, expires_at=now + timedelta(seconds=ttl)
            )
            tx.objects.preregister(run_id, envelope.message_id, sent.delivery.tree)
            for object_id, content in sent.contents.items():
                tx.objects.put(object_id, content)
        return sent

    def launch(self, run_id: RunId = RUN) -> tuple[str, Lease]:
        """Grant a launch; return the token and its lease."""
        token = self.leases.grant(run_id)
        assert token is not None
        return token, self.leases.require(token)

    def answer(self, lease: Lease, asked: Envelope, *, payload: bytes = b"") -> Sent:
        """Let the app of a lease reply completely."""
        sent = reply(asked, self.clock, payload=payload)
        _, missing = self.apps.accept_reply(lease, sent.delivery)
        for object_id in missing:
            assert self.apps.objects.put(lease, object_id, sent.contents[object_id])
        return sent

    def reply_to(self, message_id: MessageId) -> Envelope | None:
        """Return the reply in the outbox."""
        with self.store.reading() as tx:
            found = tx.messages.find_reply(message_id)
        return None if found is None else found.envelope


def scenario(body: Callable[[], Awaitable[None]]) -> None:
    """Run one asynchronous test, bounded."""

    async def bounded() -> None:
        async with asyncio.timeout(60):
            await body()

    asyncio.run(bounded())
