"""Instructions in: pulled for ever, each made durable, then confirmed.

What came whole is stored at once and confirmed with the pull that follows.  What is larger, or of
a new run, is taken in by a task of its own and confirmed by a call, unless its reply comes before.
The SuperLink hands an instruction out again until it was confirmed, so nothing is confirmed before
it can be executed after a power cut, and taking one in twice changes nothing.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import partial
from typing import Final

from flwr.core.clock import Clock
from flwr.core.errors import FlwrError, UnavailableError
from flwr.core.ids import MessageId, RunId
from flwr.core.limits import ARRAY_CHUNK_BYTES, AT_ONCE_BYTES, POLL_FALLBACK
from flwr.core.message import Delivery, Envelope, ErrorCode
from flwr.core.settling import INSTRUCTIONS
from flwr.shell.in_thread import NEVER_AT_ONCE, AtOnce, in_thread
from flwr.supernode.fleet import FATAL, FleetSession
from flwr.supernode.handover import Handover, Waiter
from flwr.supernode.intake import Intake
from flwr.supernode.launches import WholeLaunch
from flwr.supernode.refusals import IntakeRefusedError
from flwr.supernode.runs import RUN_OVER, RunBook

logger = logging.getLogger(__name__)

INTAKES_AT_ONCE: Final = 8  # instructions being fetched; those that wait for an app do not count
_NOT_HELD: Final = timedelta(milliseconds=500)  # an empty answer sooner means: no long poll here
_STORAGE_PAUSE: Final = timedelta(seconds=5)  # until a full disk is looked at again
_SLOWEST_POLL: Final = timedelta(seconds=3)  # upstream's own pace (wire contract §12.5)


class Inbox:
    """Pulls instructions from the SuperLink and makes them durable here."""

    def __init__(
        self,
        session: FleetSession,
        runs: RunBook,
        intake: Intake,
        handover: Handover,
        clock: Clock,
        at_once: AtOnce = NEVER_AT_ONCE,
    ) -> None:
        self._session, self._runs, self._intake, self._clock = session, runs, intake, clock
        self._handover, self._at_once = handover, at_once
        self._slots = asyncio.Semaphore(INTAKES_AT_ONCE)
        self._taking_in: set[MessageId] = set()
        self._put_off: set[MessageId] = set()  # of these: can be executed, are confirmed soon
        self._unconfirmed: list[Envelope] = []  # to be confirmed with the next pull
        self._told_at: float | None = None  # monotonic

    def was_told_within(self, period: timedelta) -> bool:
        """Tell whether the server itself says which runs have ended, and did so lately."""
        told = self._told_at
        return told is not None and self._clock.monotonic() - told < period.total_seconds()

    async def run(self) -> None:
        """Resume what an earlier process left, then pull until cancelled.

        Raises:
            NodeRejectedError: the SuperLink does not accept this node any more.
            GaveUpError: the SuperLink stayed unreachable.
        """
        async with asyncio.TaskGroup() as tasks:
            for delivery in await in_thread(self._intake.unfinished):
                await self._begin(tasks, delivery)
            pause = POLL_FALLBACK
            while True:
                await self._until_a_slot_is_free()
                asked_at = self._clock.monotonic()
                got_any = await self._pull(tasks)
                held = self._clock.monotonic() - asked_at >= _NOT_HELD.total_seconds()
                if got_any or held:
                    pause = POLL_FALLBACK
                    continue
                await asyncio.sleep(pause.total_seconds())
                pause = min(pause * 2, _SLOWEST_POLL)

    async def _pull(self, tasks: asyncio.TaskGroup) -> bool:
        """Ask once; True when something came."""
        received, self._unconfirmed = self._unconfirmed, []
        try:
            if received and not self._intake.state_is_safe:  # at most one message is done again
                await in_thread(self._intake.make_durable)
            pull = partial(
                self._session.fleet.pull_messages,
                self._runs.live(),
                [envelope.message_id for envelope in received],
            )
            pulled = await self._session.attempt(self._session.pulse.during, pull)
        except FATAL:
            raise
        except FlwrError as error:  # what we received is handed out again, and confirmed then
            logger.warning(
                "Cannot pull instructions now",
                extra={"event": "pull-failed", "cause": error.message},
            )
            return False
        if pulled.ended_runs is not None:
            self._told_at = self._clock.monotonic()
        has_ended = await self._end(
            pulled.ended_runs or (), "the SuperLink said that the run has ended"
        )
        stored = await self._store_at_hand(pulled.deliveries)
        for delivery in pulled.deliveries:
            if delivery.envelope not in stored:
                await self._begin(tasks, delivery)
        return bool(pulled.deliveries) or has_ended

    async def _store_at_hand(self, deliveries: Sequence[Delivery]) -> Sequence[Envelope]:
        """Take in what came whole; return the envelopes of what was."""
        at_hand = [d for d in deliveries if self._intake.is_at_hand(d)]
        if not at_hand:
            return ()
        waiters = self._handover.lend()
        launches: Mapping[Waiter, WholeLaunch] = {}
        try:
            is_large = sum(delivery.size_bytes for delivery in at_hand) > AT_ONCE_BYTES
            at_once = NEVER_AT_ONCE if is_large else self._at_once
            launches = await at_once(self._intake.store_at_hand, at_hand, waiters)
        except Exception as error:  # noqa: BLE001 - the long way meets the cause again, and acts
            logger.debug("Taking the long way", extra={"event": "intake", "cause": str(error)})
            return ()
        finally:
            self._handover.settle(waiters, launches)
        stored = [delivery.envelope for delivery in at_hand]
        self._unconfirmed += stored
        for envelope in stored:
            logger.info(
                "Took in an instruction",
                extra={"event": "instruction-received", **_facts(envelope)},
            )
        return stored

    async def _end(self, run_ids: Sequence[RunId], why: str) -> bool:
        """End runs; False when there were none, or they could not be ended now."""
        if not run_ids:
            return False
        try:
            await in_thread(self._runs.end, run_ids, why=why)
        except FlwrError as error:  # our own storage: the SuperLink says it again
            logger.warning(
                "Cannot end runs now",
                extra={"event": "storage", "cause": error.message, "remedy": error.hint},
            )
            return False
        return True

    async def _until_a_slot_is_free(self) -> None:
        await self._take_slot()
        self._slots.release()

    async def _take_slot(self) -> None:
        if self._slots.locked():  # the next pull may be far away
            await self._confirm_received()
        await self._slots.acquire()

    async def _begin(self, tasks: asyncio.TaskGroup, delivery: Delivery) -> None:
        message_id = delivery.envelope.message_id
        if message_id in self._taking_in:
            return
        self._taking_in.add(message_id)
        await self._take_slot()
        tasks.create_task(self._take_in(delivery), name=f"intake-{message_id[:8]}")

    async def _take_in(self, delivery: Delivery) -> None:
        message_id = delivery.envelope.message_id
        try:
            await self._make_executable(delivery)
            if message_id in self._put_off:
                await self._confirm_soon(delivery)
        finally:
            self._put_off.discard(message_id)
            self._taking_in.discard(message_id)

    async def _make_executable(self, delivery: Delivery) -> None:
        envelope = delivery.envelope
        facts = _facts(envelope)
        try:
            while True:
                if await self._received(delivery, facts):
                    return
                await asyncio.sleep(_STORAGE_PAUSE.total_seconds())
        finally:
            self._slots.release()

    async def _received(self, delivery: Delivery, facts: Mapping[str, object]) -> bool:
        """Take one in, or answer it; False when only our own storage stood in the way."""
        envelope = delivery.envelope
        try:
            await self._store_and_confirm(delivery)
        except FATAL:
            raise
        except UnavailableError as error:
            logger.error(  # noqa: TRY400 - expected; a traceback says nothing more
                "Cannot store an instruction, trying on",
                extra={"event": "storage", "cause": error.message, "remedy": error.hint, **facts},
            )
            return False
        except FlwrError as error:
            logger.warning(
                "Dropped an instruction",
                extra={"event": "instruction-dropped", "cause": error.message, **facts},
            )
            if error.kind in RUN_OVER:
                await self._end([envelope.run_id], error.message)
        except Exception:
            # A bug of ours, met by one instruction, must not stop the work for all others.
            logger.exception("Taking in an instruction failed", extra={"event": "bug", **facts})
            await self._refuse_unexpected(delivery)
        else:
            logger.info("Took in an instruction", extra={"event": "instruction-received", **facts})
        return True

    async def _refuse_unexpected(self, delivery: Delivery) -> None:
        refusal = IntakeRefusedError(ErrorCode.MESSAGE_UNAVAILABLE, "the node failed to take it in")
        try:
            await in_thread(self._intake.refuse, delivery, refusal)
        except Exception:
            logger.exception("Answering for an instruction failed", extra={"event": "bug"})

    async def _store_and_confirm(self, delivery: Delivery) -> None:
        envelope = delivery.envelope
        try:
            if await self._intake.store(delivery):
                self._put_off.add(envelope.message_id)
                return
        except IntakeRefusedError as refusal:
            await in_thread(self._intake.refuse, delivery, refusal)
        except (*FATAL, UnavailableError):
            raise
        except FlwrError as error:
            if error.kind in RUN_OVER:
                raise
            why = f"the node could not take the instruction in: {error.message}"
            failure = IntakeRefusedError(ErrorCode.MESSAGE_UNAVAILABLE, why)
            await in_thread(self._intake.refuse, delivery, failure)
        await in_thread(self._intake.make_durable)
        await self._confirm(envelope)

    async def _confirm_soon(self, delivery: Delivery) -> None:
        """Confirm a large instruction, unless it is answered by then: its files may be lost."""
        envelope = delivery.envelope
        await asyncio.sleep(confirmed_after(delivery).total_seconds())
        while True:
            try:
                if await in_thread(self._intake.is_open, delivery):
                    await in_thread(self._intake.make_durable)
                    await self._confirm(envelope)
            except FATAL:
                raise
            except UnavailableError as error:
                cause = error.message
                logger.warning("Cannot confirm", extra={"event": "storage", "cause": cause})
                await asyncio.sleep(_STORAGE_PAUSE.total_seconds())
                continue
            except FlwrError as error:  # its run is over, or it is handed out again
                logger.debug(
                    "Not confirmed", extra={"event": "unconfirmed", "cause": error.message}
                )
            return

    async def _confirm_received(self) -> None:
        received, self._unconfirmed = self._unconfirmed, []
        for envelope in received:
            try:
                await in_thread(self._intake.make_durable)
                await self._confirm(envelope)
            except FATAL:
                raise
            except FlwrError as error:  # it is handed out again, unless its run is over
                logger.debug(
                    "Not confirmed", extra={"event": "unconfirmed", "cause": error.message}
                )

    async def _confirm(self, envelope: Envelope) -> None:
        confirm = self._session.fleet.confirm
        await self._session.attempt(confirm, envelope.run_id, envelope.message_id)


def confirmed_after(delivery: Delivery) -> timedelta:
    """Return when a large instruction is confirmed: a reply that comes sooner says the same."""
    objects = sum(1 for _ in delivery.tree.walk())
    return INSTRUCTIONS.after(objects * ARRAY_CHUNK_BYTES)


def _facts(envelope: Envelope) -> dict[str, object]:
    return {
        "run_id": envelope.run_id,
        "node_id": envelope.dst_node_id,
        "message_id": envelope.message_id,
    }
