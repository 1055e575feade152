"""What an app process may do with its lease: take its inputs and message, give back its reply.

The objects of either are in ``app_objects``.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from typing import Final

from flwr.core.clock import Clock
from flwr.core.errors import FailedPreconditionError, InvalidError, NotFoundError
from flwr.core.ids import FabHash, MessageId, NodeId, ObjectId, RunId
from flwr.core.lease import Lease
from flwr.core.message import Delivery, Envelope, check_reply, check_tree
from flwr.core.run import Run
from flwr.core.run_config import Config, ConfigValue, fuse
from flwr.store.fabs import Fab
from flwr.store.message_rows import Instruction
from flwr.store.store import Store, Tx
from flwr.supernode.app_objects import AppObjects
from flwr.supernode.arrivals import Arrival
from flwr.supernode.identity import NodeIdentity
from flwr.supernode.replies import ACTOR, end_answered_lease, end_lease, find_instruction
from flwr.supernode.stopwatches import Stopwatches

logger = logging.getLogger(__name__)

_SMALL_CONTEXT: Final = 65_536  # bytes
_CONTEXTS_KEPT: Final = 64  # of runs, as they are in the store
_CONFIGS_KEPT: Final = 32  # parsed default configurations, by FAB


@dataclass(frozen=True, slots=True, kw_only=True)
class AppInputs:
    """All an app needs before its message."""

    run: Run
    fab: Fab | None  # None: the caller has it
    node_id: NodeId
    node_config: Mapping[str, ConfigValue]
    run_config: Mapping[str, ConfigValue]  # the bundle's defaults with the run's overrides on top
    context: bytes | None  # the wire's Context as the last app of this run left it


@dataclass(frozen=True, slots=True)
class KeptReply:
    """A reply in the store."""

    delivery: Delivery
    missing: list[ObjectId]  # children before parents

    @property
    def answered(self) -> MessageId:
        """The instruction."""
        assert self.delivery.envelope.reply_to is not None, "the store takes no reply without it"
        return self.delivery.envelope.reply_to


class AppSessions:
    """Operations an app process performs under its lease.

    Attributes:
        objects: of its instruction and its reply.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        identity: NodeIdentity,
        *,
        node_config: Mapping[str, ConfigValue],
        stopwatches: Stopwatches,
        read_defaults: Callable[[bytes], Config],
        replied: Callable[[Delivery], None],
    ) -> None:
        """Build.

        Args:
            store: the node's own state.
            clock: time.
            identity: who we are.
            node_config: of this site, for every app.
            stopwatches: measure how long apps have their messages.
            read_defaults: returns the configuration in a bundle.
            replied: told of each small reply that is stored, with its contents; the outbox is rung
                for others.
        """
        self.objects = AppObjects(store)
        self._replied = replied
        self._store, self._clock, self._identity = store, clock, identity
        self._node_config, self._stopwatches = node_config, stopwatches
        self._read_defaults = read_defaults
        self._defaults: OrderedDict[FabHash, Config] = OrderedDict()
        self._contexts: OrderedDict[RunId, bytes] = OrderedDict()
        self._changed_in = 0  # the commit in which the state of an app last changed
        self._lock = Lock()

    def inputs(self, lease: Lease) -> AppInputs:
        """Return run, bundle and context; may be asked again.

        Raises:
            RunNotFoundError: the run has ended meanwhile.
            NotFoundError: the bundle is gone.
        """
        with self._store.reading() as tx:
            return self.find_inputs(tx, tx.runs.require(lease.run_id))

    def find_inputs(self, tx: Tx, run: Run, *, known_bundles: Collection[str] = ()) -> AppInputs:
        """Return the same within the caller's transaction, without a bundle that it has already.

        Raises:
            NotFoundError: the bundle is gone.
        """
        node_id = self._identity.node_id
        is_known, fab = run.fab_hash in known_bundles, None
        if not is_known or run.fab_hash not in self._defaults:
            fab = tx.fabs.find(run.fab_hash)
            if fab is None:
                raise NotFoundError(f"the FAB of run {run.run_id} is not on this node")
        return AppInputs(
            run=run,
            fab=None if is_known else fab,
            node_id=node_id,
            node_config=self._node_config,
            run_config=fuse(self._defaults_of(run.fab_hash, fab), run.override_config),
            context=self._contexts.get(run.run_id) or tx.contexts.find(run.run_id, node_id),
        )

    def find_run(self, run_id: RunId) -> Run | None:
        """Return a run this node knows."""
        with self._store.reading() as tx:
            return tx.runs.find(run_id)

    def message(self, lease: Lease, *, whole: bool = False) -> Delivery:
        """Return the one instruction of the lease; from now on the app answers for it.

        Args:
            lease: of the app.
            whole: with its objects if it is small.
        """
        with self._store.transaction() as tx:
            instruction = _require_instruction(tx, lease)
            if instruction.confirmed_at is None:
                tx.messages.confirm(instruction.message_id, self._clock.now())
            contents = tx.objects.contents(instruction.message_id) if whole else {}
        self.start_watch(instruction.message_id)
        return Delivery(instruction.envelope, instruction.tree, contents)

    def accept_reply(self, lease: Lease, reply: Delivery) -> tuple[MessageId, list[ObjectId]]:
        """Store the reply to the lease's instruction; the same reply again changes nothing.

        It leaves when the app has finished, so that no reply counts without what its app keeps.

        Returns:
            The reply's id and the objects whose content is still wanted.

        Raises:
            InvalidError: it does not answer the instruction (``core.message.check_reply``).
            FailedPreconditionError: another reply was accepted before.
        """
        with self._store.transaction() as tx:
            kept = self.keep_reply(tx, lease, reply, self._clock.now(), durable=True)
        if kept is not None:
            self._stopwatches.stop(kept.answered)
        return reply.envelope.message_id, kept.missing if kept else []

    def keep_reply(
        self,
        tx: Tx,
        lease: Lease,
        reply: Delivery,
        now: datetime,
        *,
        durable: bool,
        arrival: Arrival | None = None,
    ) -> KeptReply | None:
        """Do the same within the caller's transaction; call ``note_reply`` after the commit.

        ``durable``: so is what came along.  ``arrival``: the instruction, if written in there, too.

        Returns:
            What was kept; None when the instruction is gone: it expired, or its run ended.

        Raises:
            InvalidError: it does not answer the instruction (``core.message.check_reply``).
            FailedPreconditionError: another reply was accepted before.
        """
        check_tree(reply.tree)
        envelope, tree = reply.envelope, reply.tree
        instruction = arrival or find_instruction(tx, lease)
        if instruction is None:
            return None
        asked = instruction.envelope
        check_reply(envelope, asked, expires_at=instruction.expires_at.timestamp())
        if str(tree.object_id) != envelope.message_id:
            raise InvalidError("message refused: the object tree belongs to another message")
        own = (lease.run_id, envelope.message_id, tree, reply.contents)
        missing = tx.objects.preregister(*own, durable=durable)
        if tx.messages.add_reply(envelope, tree, now=now):
            tx.events.append(
                at=now,
                kind="reply-accepted",
                actor=ACTOR,
                run_id=asked.run_id,
                node_id=asked.dst_node_id,
                message_id=asked.message_id,
            )
        else:
            _require_same(tx, asked.message_id, envelope)
        return KeptReply(reply, missing)

    def note_reply(self, kept: KeptReply) -> None:
        """Stop the watch, and pass a small reply on: its app has finished."""
        self._stopwatches.stop(kept.answered)
        if kept.delivery.is_whole:
            self._replied(kept.delivery)

    def finish(self, lease: Lease, context: bytes) -> None:
        """Keep the context for the run's next app and end the lease.

        An app that finishes without a complete reply is answered for like one that crashed.
        """
        self.secure_reply(lease, context)
        with self._store.transaction() as tx:
            has_ended = self.end(tx, lease, context, self._clock.now())
        if has_ended:
            self.note_context(lease.run_id, context)

    def secure_reply(self, lease: Lease, context: bytes) -> None:
        """Have a large reply survive a power cut if the context that counts it would.

        Who keeps nothing is executed again without harm.
        """
        if not self.is_new_context(lease.run_id, context):
            return
        with self._store.reading() as tx:
            reply = tx.messages.find_reply(lease.message_id) if lease.message_id else None
            files = [] if reply is None else tx.objects.files_of(reply.message_id)
        self._store.settle_objects(files)

    def is_new_context(self, run_id: RunId, context: bytes) -> bool:
        """Tell whether a context is to be stored: another one is, as far as is known."""
        return self._contexts.get(run_id) != context

    def end(
        self,
        tx: Tx,
        lease: Lease,
        context: bytes,
        now: datetime,
        *,
        has_replied: bool = False,
        was_written: bool = True,
    ) -> bool:
        """Do the same within the caller's transaction; call ``note_context`` after the commit.

        Args:
            tx: the transaction.
            lease: of the app.
            context: what it keeps.
            now: the present instant.
            has_replied: it is known that the whole reply is here.
            was_written: the lease is in the store; only one that has replied need not be.

        Returns:
            False when the lease had ended before: nothing was kept.
        """
        cause = "ClientApp finished"
        if not has_replied:
            if tx.leases.find_by_hash(lease.token_hash) is None:
                return False
            asked = find_instruction(tx, lease)
            if asked is not None and asked.replied_at is None:
                cause += " without a reply"
            end_lease(tx, lease, cause=cause, now=now)
        elif not end_answered_lease(tx, lease, cause=cause, now=now, was_written=was_written):
            return False
        if self.is_new_context(lease.run_id, context):
            tx.contexts.save(lease.run_id, self._identity.node_id, context)
        return True

    def note_context(self, run_id: RunId, context: bytes) -> None:
        """Remember what is in the store, so that the same is not written after each message."""
        with self._lock:
            if self._contexts.pop(run_id, None) != context:
                self._changed_in = self._store.newest
            if len(context) <= _SMALL_CONTEXT:
                self._contexts[run_id] = context
            if len(self._contexts) > _CONTEXTS_KEPT:
                self._contexts.popitem(last=False)

    @property
    def state_is_safe(self) -> bool:
        """True while no power cut could take back what an app keeps: its reply may have counted."""
        return self._store.is_settled(self._changed_in)

    def start_watch(self, message_id: MessageId) -> None:
        """The app has its message now."""
        self._stopwatches.start(message_id)

    def _defaults_of(self, fab_hash: FabHash, fab: Fab | None) -> Config:
        known = self._defaults.get(fab_hash)
        if known is None:
            assert fab is not None
            known = self._defaults[fab_hash] = self._read_defaults(fab.content)
            while len(self._defaults) > _CONFIGS_KEPT:
                self._defaults.popitem(last=False)
        return known


def _require_instruction(tx: Tx, lease: Lease) -> Instruction:
    found = find_instruction(tx, lease)
    if found is None:
        raise NotFoundError("the instruction of this launch is gone: its run ended or it expired")
    return found


def _require_same(tx: Tx, instruction_id: MessageId, reply: Envelope) -> None:
    earlier = tx.messages.find_reply(instruction_id)
    if earlier is None or earlier.envelope.message_id != reply.message_id:
        # The objects of the refused reply were preregistered in this transaction: it rolls back.
        raise FailedPreconditionError(f"instruction {instruction_id} has been answered already")
