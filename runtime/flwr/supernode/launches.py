"""A launch in two operations, of one transaction each: all an app needs, and all it leaves.

The contract's operations do the same in steps (``leases``, ``apps``); their rules are used here.
"""

import logging
from collections.abc import Collection
from dataclasses import dataclass, replace

from flwr.core.app_choice import EVERY_APP, AppChoice
from flwr.core.clock import Clock
from flwr.core.errors import InvalidError, NotFoundError
from flwr.core.lease import Lease
from flwr.core.limits import ENCLOSED_MESSAGE_BYTES
from flwr.core.message import Delivery
from flwr.core.run import Run
from flwr.store.remembered import Remembered
from flwr.store.store import Store, Tx
from flwr.supernode.apps import AppInputs, AppSessions
from flwr.supernode.arrivals import Arrival
from flwr.supernode.leases import AppLeases, Granted
from flwr.supernode.replies import WAITING
from flwr.supernode.sent import SentReplies

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WholeLaunch:
    """A granted launch with what it is for."""

    granted: Granted
    inputs: AppInputs
    delivery: Delivery  # with its contents, if it is small

    @property
    def token(self) -> str:
        """What lets the app act."""
        return self.granted.token


class WholeLaunches:
    """Operations of our own executors and runners."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        leases: AppLeases,
        apps: AppSessions,
        sent: SentReplies,
    ) -> None:
        self._store, self._clock, self._leases, self._apps = store, clock, leases, apps
        self._sent = sent
        self._none_waits = Remembered[None, bool](store, lambda _: WAITING, self._find_none)

    def knows_none_waits(self) -> bool:
        """Tell, without a look into the store, that no instruction waits for an app."""
        return self._none_waits.recall(None) is not None

    def _find_none(self, _: None) -> bool | None:
        return None if self._leases.anything_waits() else True

    @property
    def state_is_safe(self) -> bool:
        """True while no power cut could take back what an app keeps."""
        return self._apps.state_is_safe

    def take(
        self, choice: AppChoice = EVERY_APP, bundles: Collection[str] = ()
    ) -> WholeLaunch | None:
        """Grant the launch that has waited longest; None when none may start now.

        The app answers for its instruction from its first heartbeat on, not from now: a caller that
        never hears of its launch would otherwise cost the instruction.

        Args:
            choice: only runs of these apps.
            bundles: hashes of those that the caller has.
        """
        launch = self._take(choice, bundles)
        if launch is None:
            self._none_waits.find(None)
            return None
        self.note_taken(launch)
        return launch

    def _take(self, choice: AppChoice, bundles: Collection[str]) -> WholeLaunch | None:
        now = self._clock.now()
        with self._store.transaction() as tx:
            granted = self._leases.grant_next(tx, choice, now)
            if granted is None:
                return None
            asked = granted.delivery
            try:
                run = tx.runs.require(asked.envelope.run_id)
                inputs = self._apps.find_inputs(tx, run, known_bundles=bundles)
            except NotFoundError as error:
                self._leases.give_up(tx, granted, cause=error.message, now=now)
                return None
            message_id = asked.envelope.message_id
            contents = tx.objects.contents(message_id, at_most=ENCLOSED_MESSAGE_BYTES)
        return WholeLaunch(granted, inputs, replace(asked, contents=contents))

    def take_arriving(
        self, tx: Tx, run: Run, delivery: Delivery, bundles: Collection[str]
    ) -> WholeLaunch | None:
        """Grant the launch for an instruction that the caller writes, with the lease (``Arrival``).

        Args:
            tx: a transaction; call ``note_taken`` after its commit.
            run: of the instruction.
            delivery: the instruction.
            bundles: hashes of those that the executor has.

        Returns:
            None when it must wait: the run has an app already, or the node is full.

        Raises:
            NotFoundError: the bundle is gone.
        """
        granted = self._leases.grant_arriving(tx, delivery, self._clock.now())
        if granted is None:
            return None
        return WholeLaunch(
            granted, self._apps.find_inputs(tx, run, known_bundles=bundles), delivery
        )

    def note_taken(self, launch: WholeLaunch) -> None:
        """Log a launch, and start its watch."""
        self._leases.note_granted(launch.granted)
        self._apps.start_watch(launch.delivery.envelope.message_id)

    def take_back(self, taken: WholeLaunch | None) -> None:
        """Undo a launch that reached nobody; it does not count as an attempt."""
        if taken is not None:
            self._leases.take_back(taken.token)

    def secure_reply(self, lease: Lease, context: bytes) -> None:
        """Prepare to finish a launch whose reply is in the store by now, if there is one."""
        self._apps.secure_reply(lease, context)

    def finish(self, lease: Lease, reply: Delivery | None, context: bytes) -> None:
        """Keep reply and context, and end the lease.

        A power cut may take it: then the instruction is executed again from the context before.

        Args:
            lease: of the launch.
            reply: with all its objects; None: it was accepted before, or there is none.
            context: for the run's next app.

        Raises:
            InvalidError: the reply is not whole, or does not answer the instruction.
            FailedPreconditionError: another reply was accepted before.
        """
        now, kept = self._clock.now(), None
        arrived = None if reply is None else lease.token_hash
        with self._sent.transaction(instead_of=arrived) as tx:
            arrival = tx.taken_over if isinstance(tx.taken_over, Arrival) else None
            if arrival is not None:
                arrival.write_row(tx)
            if reply is not None:
                durable = self._apps.is_new_context(lease.run_id, context)  # which counts the reply
                kept = self._apps.keep_reply(
                    tx, lease, reply, now, durable=durable, arrival=arrival
                )
                if kept is not None and kept.missing:
                    raise InvalidError("message refused: a launch ends with a whole reply")
            has_ended = self._apps.end(
                tx,
                lease,
                context,
                now,
                has_replied=kept is not None,
                was_written=arrival is None,
            )
            if kept is not None and not kept.delivery.is_whole:
                tx.notify("outbox")
        if has_ended:
            self._apps.note_context(lease.run_id, context)
        if kept is not None:
            self._apps.note_reply(kept)
