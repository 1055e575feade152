"""The life of instructions against a model of a dozen lines."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from flwr.core.ids import MessageId, NodeId, RunId
from flwr.core.message import Envelope
from flwr.store.objects import ObjectState
from flwr.store.store import open_store
from tests import given

NODES = (NodeId(11), NodeId(2**64 - 1))
SHARED = b"the model every instruction carries"


@dataclass
class Modelled:
    envelope: Envelope
    expires_at: datetime
    ready: bool
    claimed: bool = False
    confirmed: bool = False
    replied: bool = False
    attempts: int = 0

    def waits(self, now: datetime) -> bool:
        return self.ready and not self.claimed and not self.replied and self.expires_at > now


class MessageLife(RuleBasedStateMachine):
    known = Bundle("known")

    def __init__(self) -> None:
        super().__init__()
        self.store = open_store(":memory:")
        self.now = given.NOW
        self.model: dict[MessageId, Modelled] = {}

    def teardown(self) -> None:
        self.store.close()

    @rule(
        target=known,
        dst=st.sampled_from(NODES),
        run_id=st.sampled_from((RunId(1), RunId(2))),
        ready=st.booleans(),
        minutes=st.integers(1, 5),
    )
    def add(self, dst: NodeId, run_id: RunId, ready: bool, minutes: int) -> MessageId:
        message = given.instruction(dst_node_id=dst, run_id=run_id)
        tree = given.tree(message, SHARED)
        until = self.now + timedelta(minutes=minutes)
        with self.store.transaction() as tx:
            tx.objects.preregister(run_id, message.message_id, tree)
            tx.messages.add_instruction(
                message,
                tree,
                now=self.now,
                expires_at=until,
                ready=ready,
            )
        self.model[message.message_id] = Modelled(message, until, ready)
        return message.message_id

    @rule(message=known)
    def complete(self, message: MessageId) -> None:
        with self.store.transaction() as tx:
            tx.messages.set_ready(message)
        self.model[message].ready = True

    @rule(dst=st.sampled_from(NODES), limit=st.integers(1, 3))
    def claim(self, dst: NodeId, limit: int) -> None:
        with self.store.transaction() as tx:
            taken = tx.messages.claim(dst, limit=limit, now=self.now)
        assert taken == self.waiting(dst)[:limit]
        for message in taken:
            self.model[message].claimed = True

    @rule(message=known)
    def confirm(self, message: MessageId) -> None:
        with self.store.transaction() as tx:
            tx.messages.confirm(message, self.now)
        self.model[message].confirmed |= self.model[message].claimed

    @rule(messages=st.lists(known, max_size=3))
    def release(self, messages: list[MessageId]) -> None:
        with self.store.transaction() as tx:
            tx.messages.release(messages)
        for modelled in (self.model[message] for message in set(messages)):
            if modelled.claimed and not modelled.replied:
                modelled.claimed = modelled.confirmed = False
                modelled.attempts += 1

    @rule(message=known)
    def answer(self, message: MessageId) -> None:
        modelled = self.model[message]
        reply = given.reply(modelled.envelope)
        with self.store.transaction() as tx:
            accepted = tx.messages.add_reply(reply, given.tree(reply), now=self.now)
        assert accepted is not modelled.replied
        modelled.replied = True

    @rule(message=consumes(known))
    def delete(self, message: MessageId) -> None:
        with self.store.transaction() as tx:
            tx.messages.delete([message])
        del self.model[message]

    @rule(minutes=st.integers(1, 3))
    def wait(self, minutes: int) -> None:
        self.now += timedelta(minutes=minutes)

    @invariant()
    def store_and_model_agree(self) -> None:
        with self.store.reading() as tx:
            for message, modelled in self.model.items():
                found = tx.messages.find_instruction(message)
                assert found is not None
                assert (found.claimed_at is not None) == modelled.claimed
                assert (found.confirmed_at is not None) == modelled.confirmed
                assert (found.replied_at is not None) == modelled.replied
                assert (tx.messages.find_reply(message) is not None) == modelled.replied
                assert found.attempts == modelled.attempts
            open_ones = [m for m in self.model.values() if not m.replied]
            late = {m.envelope.message_id for m in open_ones if m.expires_at <= self.now}
            assert set(tx.messages.expired(self.now, 1000)) == late
            assert tx.messages.next_expiry() == min((m.expires_at for m in open_ones), default=None)
            for dst in NODES:
                runs = [self.model[message].envelope.run_id for message in self.waiting(dst)]
                assert tx.messages.waiting_runs(dst, self.now) == list(dict.fromkeys(runs))
            shared = tx.objects.state(given.object_id(SHARED))
            assert shared is (ObjectState.AWAITED if self.model else ObjectState.UNKNOWN)

    def waiting(self, dst: NodeId) -> list[MessageId]:
        return [
            message
            for message, modelled in self.model.items()
            if modelled.envelope.dst_node_id == dst and modelled.waits(self.now)
        ]


TestMessageLife = MessageLife.TestCase
TestMessageLife.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)
