"""Taking in one instruction: its run and bundle, its objects, and the row that makes it executable.

A small instruction of a known run brings all of itself along and costs one transaction.  A large
one is written in batches, so that a node that dies half-way goes on where it was.  ``Inbox``
decides when, this module decides what.
"""

import asyncio
import hashlib
import logging
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final

from flwr.core.clock import Clock
from flwr.core.errors import InvalidError, TooLargeError, UnimplementedError
from flwr.core.ids import FabHash, ObjectId, RunId
from flwr.core.limits import (
    MAX_MISMATCHES,
    TRANSFERS_IN_PARALLEL,
)
from flwr.core.message import Delivery, Envelope, ErrorCode
from flwr.core.run import Run, RunNotRunningError, RunStatus
from flwr.fab.verify import verify_fab
from flwr.shell.in_thread import in_thread
from flwr.store.durability import Durability
from flwr.store.fabs import Fab
from flwr.store.objects import ObjectState
from flwr.store.store import Store, Tx
from flwr.supernode.arrivals import Arrival, announce, record_received
from flwr.supernode.fleet import FleetSession
from flwr.supernode.handover import Waiter
from flwr.supernode.identity import NodeIdentity
from flwr.supernode.launches import WholeLaunch, WholeLaunches
from flwr.supernode.parallel import all_of
from flwr.supernode.pieces import FIRST_WAIT, LONGEST_WAIT, InstructionKeeper, PiecesIn
from flwr.supernode.refusals import IntakeRefusedError
from flwr.supernode.replies import answer_with_error
from flwr.supernode.runs import RunBook
from flwr.supernode.sent import SentReplies

logger = logging.getLogger(__name__)

BATCH_BYTES: Final = 8 * 1024 * 1024  # held in memory per instruction before they are written
_LONGEST_TTL_S: Final = 10 * 365 * 86_400.0  # a ttl is the sender's word; keep dates representable
_HASH_IN_THREAD: Final = 262_144  # bytes; hashing less costs less than the hand-over


class Intake:
    """Takes instructions in, whichever way their delivery was learned."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        identity: NodeIdentity,
        session: FleetSession,
        runs: RunBook,
        sent: SentReplies,
        launches: WholeLaunches,
        *,
        is_trusted: Callable[[Fab], str | None],
    ) -> None:
        """Build.

        Args:
            store: the node's own state.
            clock: time.
            identity: who we are.
            session: the connection to the SuperLink.
            runs: the runs known here.
            sent: replies to forget on the way.
            launches: grants what may start at once.
            is_trusted: says why a bundle is not trusted, None when it is.
        """
        self._store, self._clock, self._identity = store, clock, identity
        self._session, self._runs, self._sent = session, runs, sent
        self._launches, self._is_trusted = launches, is_trusted
        # Per run: a call for an object that is not there yet is held, and so are its run's others.
        self._transfers: defaultdict[RunId, asyncio.Semaphore] = defaultdict(
            partial(asyncio.Semaphore, TRANSFERS_IN_PARALLEL)
        )
        self._cleared: set[RunId] = set()  # bundle verified by this process
        self._has_streams = False  # of the SuperLink, as far as is known
        self._clearing: defaultdict[RunId, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._fetching: defaultdict[FabHash, asyncio.Lock] = defaultdict(asyncio.Lock)

    def unfinished(self) -> list[Delivery]:
        """Return what an earlier process had begun to take in."""
        node_id = self._identity.node_id
        with self._store.reading() as tx:
            return [
                Delivery(found.envelope, found.tree)
                for found in tx.messages.unanswered(node_id)
                if not found.ready
            ]

    def is_at_hand(self, delivery: Delivery) -> bool:
        """Tell whether an instruction can be taken in as it is: whole, small, of a cleared run."""
        return delivery.envelope.run_id in self._cleared and delivery.may_go_whole

    def store_at_hand(
        self, deliveries: Sequence[Delivery], waiters: Sequence[Waiter] = ()
    ) -> Mapping[Waiter, WholeLaunch]:
        """Make instructions executable that are at hand, all of them or none.

        They can be executed at once, and confirmed after ``make_durable``.

        Args:
            deliveries: the instructions.
            waiters: executors; who may start an instruction now gets it.

        Returns:
            What was granted, each to its executor.

        Raises:
            AlreadyExistsError: one of the instructions came before.
            FlwrError: one of them cannot be taken in this way.
        """
        launches: dict[Waiter, WholeLaunch] = {}
        can_wait = len(deliveries) == 1 and bool(waiters)  # for its reply: see ``Arrival``
        later = partial(self._store.transaction, Durability.LATER)
        with later() if can_wait else self._sent.transaction() as tx:
            for delivery in deliveries:
                arrival = self._arrange(tx, delivery, waiters, launches)
                if can_wait and arrival.lease is not None and self._is_new(tx, delivery):
                    tx.put_off[arrival.lease.token_hash] = arrival
                else:
                    arrival(tx)
        for launch in launches.values():
            self._launches.note_taken(launch)
        return launches

    @staticmethod
    def _is_new(tx: Tx, delivery: Delivery) -> bool:
        return tx.messages.find_instruction(delivery.envelope.message_id) is None

    def _arrange(
        self,
        tx: Tx,
        delivery: Delivery,
        waiters: Sequence[Waiter],
        launches: dict[Waiter, WholeLaunch],
    ) -> Arrival:
        """Return what is to be written; an executor that is free and may start it gets it."""
        now, envelope = self._clock.now(), delivery.envelope
        run, expires_at = self._require_live(envelope.run_id), _expiry(envelope, now)
        free = (w for w in waiters if w not in launches and w.choice.admits(run.fab_id))
        waiter = next(free, None) if expires_at > now else None
        launch = waiter and self._launches.take_arriving(tx, run, delivery, waiter.bundles)
        if waiter and launch:
            launches[waiter] = launch
        lease = launch.granted.lease if launch else None
        return Arrival(delivery, at=now, expires_at=expires_at, lease=lease)

    @property
    def state_is_safe(self) -> bool:
        """True while no power cut could take back what an app keeps."""
        return self._launches.state_is_safe

    def make_durable(self) -> None:
        """Have what was taken in survive a power cut: now it may be confirmed.

        Raises:
            UnavailableError: the disk failed.
        """
        self._store.settle_objects()

    def is_open(self, delivery: Delivery) -> bool:
        """Tell whether an instruction is here; what was answered is gone."""
        with self._store.reading() as tx:
            return not self._is_new(tx, delivery)

    async def store(self, delivery: Delivery) -> bool:
        """Make one instruction executable; one that already is stays as it is.

        Returns:
            Whether its confirmation may be put off: it came in pieces, from a SuperLink that
            takes a reply for one.

        Raises:
            IntakeRefusedError: it can never be executed here.
            FlwrError: as the SuperLink's answers, such as that the run is not running.
        """
        await self._clear_run(delivery.envelope.run_id)
        arrived_at = self._clock.now()
        wanted = await in_thread(self._missing, delivery)
        came_by_stream = bool(wanted) and not delivery.is_whole
        while wanted is not None:
            wanted = await self._fetch(delivery, wanted, arrived_at) or None
        return came_by_stream and self._has_streams

    def refuse(self, delivery: Delivery, refusal: IntakeRefusedError) -> None:
        """Answer an instruction with the error that says why it is not executed."""
        now, envelope = self._clock.now(), delivery.envelope
        with self._store.transaction() as tx:
            if tx.messages.find_instruction(envelope.message_id) is None:
                tx.messages.add_instruction(
                    envelope, delivery.tree, now=now, expires_at=_expiry(envelope, now), ready=False
                )
            if tx.messages.find_reply(envelope.message_id) is None:
                answer_with_error(tx, envelope, refusal.code, refusal.message, now=now)
        logger.warning(
            "Refused an instruction",
            extra={
                "event": "instruction-refused",
                "run_id": envelope.run_id,
                "message_id": envelope.message_id,
                "cause": refusal.message,
            },
        )

    async def _clear_run(self, run_id: RunId) -> None:
        """Know the run and hold its verified bundle: fetched once, verified once per process."""
        async with self._clearing[run_id]:
            run = self._runs.find_live(run_id)
            if run is not None and run_id in self._cleared:
                return
            if run is None:
                run = await self._session.attempt(self._session.fleet.get_run, run_id)
            async with self._fetching[run.fab_hash]:
                known = await self._admit(run)
            if not known:
                why = "this node had been told that the run has ended"
                raise IntakeRefusedError(ErrorCode.MESSAGE_UNAVAILABLE, why)
            self._cleared.add(run_id)

    async def _admit(self, run: Run) -> bool:
        known_fab = await in_thread(self._runs.find_fab, run.fab_hash)
        fab = known_fab or await self._fetch_fab(run)
        refusal = await in_thread(self._check_fab, run, fab)
        is_live = await in_thread(self._runs.admit, run, fab if refusal is None else None)
        if refusal is not None:
            raise refusal
        return is_live

    async def _fetch_fab(self, run: Run) -> Fab:
        get_fab = self._session.fleet.get_fab
        fetched = await self._session.attempt(get_fab, run.run_id, run.fab_hash)
        return Fab(run.fab_hash, fetched.content, fetched.verifications)

    def _check_fab(self, run: Run, fab: Fab) -> IntakeRefusedError | None:
        try:
            verify_fab(fab.content, expected_hash=run.fab_hash)
        except (InvalidError, TooLargeError) as error:
            return IntakeRefusedError(ErrorCode.INVALID_FAB, error.message)
        distrust = self._is_trusted(fab)
        return IntakeRefusedError(ErrorCode.INVALID_FAB, distrust) if distrust else None

    def _missing(self, delivery: Delivery) -> list[ObjectId] | None:
        """Return the objects to pull, None when the instruction is complete or answered."""
        with self._store.reading() as tx:
            known = tx.messages.find_instruction(delivery.envelope.message_id)
            if known is not None and (known.ready or tx.messages.find_reply(known.message_id)):
                return None
            here = ObjectState.PRESENT
            return [o for o in delivery.tree.walk() if tx.objects.state(o) is not here]

    async def _fetch(
        self, delivery: Delivery, wanted: list[ObjectId], arrived_at: datetime
    ) -> list[ObjectId]:
        """Store ``wanted``, pulled unless it came along; return what is missing still."""
        until = _expiry(delivery.envelope, arrived_at)
        here = {key: delivery.contents[key] for key in wanted if key in delivery.contents}
        if len(here) < len(wanted):
            try:
                return await self._fetch_in_pieces(delivery, here, wanted, until, arrived_at)
            except UnimplementedError:
                self._has_streams = False
                logger.debug("The SuperLink has no streams", extra={"event": "no-streams"})
        pending, batch = deque(wanted), _Batch()

        async def pull_some() -> None:
            while pending:
                object_id = pending.popleft()
                content = delivery.contents.get(object_id)
                if content is None:
                    content = await self._pull(delivery.envelope.run_id, object_id, until)
                batch.add(object_id, content)
                if batch.size > BATCH_BYTES:
                    await in_thread(self._write, delivery, batch.take(), arrived_at)

        await all_of(pull_some, min(len(wanted), TRANSFERS_IN_PARALLEL))
        return await in_thread(self._write, delivery, batch.take(), arrived_at)

    async def _fetch_in_pieces(
        self,
        delivery: Delivery,
        here: Mapping[ObjectId, bytes],
        wanted: Sequence[ObjectId],
        until: datetime,
        arrived_at: datetime,
    ) -> list[ObjectId]:
        keeper = InstructionKeeper(self._store, partial(self._prepare, delivery, arrived_at))
        run_id = delivery.envelope.run_id
        pieces = PiecesIn(self._session, keeper, run_id, lambda: self._clock.now() >= until)
        await pieces.fetch([key for key in wanted if key not in here])
        self._has_streams = True
        return await in_thread(self._write, delivery, here, arrived_at)

    def _prepare(self, delivery: Delivery, arrived_at: datetime, tx: Tx) -> None:
        self._require_live(delivery.envelope.run_id)
        self._enrol(tx, delivery, arrived_at)

    def _write(
        self, delivery: Delivery, contents: Mapping[ObjectId, bytes], arrived_at: datetime
    ) -> list[ObjectId]:
        """Store objects, and the instruction with the first; the last make it executable."""
        envelope = delivery.envelope
        with self._store.transaction(Durability.LATER) as tx:
            self._prepare(delivery, arrived_at, tx)
            for object_id, content in contents.items():
                tx.objects.put(object_id, content)
            missing = tx.objects.missing(envelope.message_id)
            if not missing:
                tx.messages.set_ready(envelope.message_id)
                now = self._clock.now()
                record_received(tx, envelope, now)
                announce(tx, _expiry(envelope, arrived_at) - now, waits=True)
        return missing

    def _require_live(self, run_id: RunId) -> Run:
        run = self._runs.find_live(run_id)
        if run is None:
            raise RunNotRunningError(RunStatus.COMPLETED)
        return run

    @staticmethod
    def _enrol(tx: Tx, delivery: Delivery, arrived_at: datetime) -> None:
        envelope = delivery.envelope
        if tx.messages.find_instruction(envelope.message_id) is None:
            expires_at = _expiry(envelope, arrived_at)
            tx.messages.add_instruction(
                envelope, delivery.tree, now=arrived_at, expires_at=expires_at, ready=False
            )
            tx.objects.preregister(envelope.run_id, envelope.message_id, delivery.tree)

    async def _pull(self, run_id: RunId, object_id: ObjectId, until: datetime) -> bytes:
        wait, mismatches = FIRST_WAIT, 0
        while True:
            async with self._transfers[run_id]:
                pulled = await self._session.attempt(
                    self._session.fleet.pull_object, run_id, object_id
                )
            if not pulled.is_known or self._clock.now() >= until:
                why = f"object {object_id} of the instruction is no longer on the SuperLink"
                raise IntakeRefusedError(ErrorCode.MESSAGE_UNAVAILABLE, why)
            if pulled.content is None:
                await asyncio.sleep(wait.total_seconds())
                wait = min(wait * 2, LONGEST_WAIT)
                continue
            if await _hash(pulled.content) == object_id:
                return pulled.content
            mismatches += 1
            if mismatches == MAX_MISMATCHES:
                why = f"object {object_id} arrived damaged {MAX_MISMATCHES} times"
                raise IntakeRefusedError(ErrorCode.MESSAGE_UNAVAILABLE, why)


class _Batch:
    """Objects pulled and not yet written."""

    def __init__(self) -> None:
        self._contents: dict[ObjectId, bytes] = {}
        self.size = 0

    def add(self, object_id: ObjectId, content: bytes) -> None:
        self._contents[object_id] = content
        self.size += len(content)

    def take(self) -> dict[ObjectId, bytes]:
        taken, self._contents, self.size = self._contents, {}, 0
        return taken


async def _hash(content: bytes) -> str:
    if len(content) < _HASH_IN_THREAD:
        return hashlib.sha256(content).hexdigest()
    return await in_thread(lambda: hashlib.sha256(content).hexdigest())


def _expiry(envelope: Envelope, arrived_at: datetime) -> datetime:
    """Judge the lifetime by our own clock from arrival on (wire contract §19 no. 26)."""
    ttl_s = envelope.ttl if envelope.ttl > 0 else 0.0  # also what is no number
    return arrived_at + timedelta(seconds=min(ttl_s, _LONGEST_TTL_S))
