"""A launch in two operations, of one transaction each: all an app needs, and all it leaves.

The contract's operations do the same in steps (``leases``, ``apps``); their rules are used here.
"""

import logging
from collections.abc import Collection
from dataclasses import dataclass

from flwr.core.app_choice import EVERY_APP, AppChoice
from flwr.core.clock import Clock
from flwr.core.errors import InvalidError, NotFoundError
from flwr.core.lease import Lease
from flwr.core.message import Delivery
from flwr.store.store import Store
from flwr.supernode.apps import AppInputs, AppSessions
from flwr.supernode.leases import AppLeases

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class WholeLaunch:
    """A granted launch with what it is for."""

    token: str
    inputs: AppInputs
    delivery: Delivery


class WholeLaunches:
    """Operations of our own executors and runners."""

    def __init__(self, store: Store, clock: Clock, leases: AppLeases, apps: AppSessions) -> None:
        self._store, self._clock, self._leases, self._apps = store, clock, leases, apps

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
        now = self._clock.now()
        with self._store.transaction() as tx:
            granted = self._leases.grant_next(tx, choice, now)
            if granted is None:
                return None
            run_id, message_id = granted.instruction.run_id, granted.instruction.message_id
            try:
                inputs = self._apps.find_inputs(tx, run_id, known_bundles=bundles)
            except NotFoundError as error:
                self._leases.give_up(tx, granted, cause=error.message, now=now)
                return None
            contents = tx.objects.contents(message_id)
        self._leases.note_granted(granted)
        self._apps.start_watch(message_id)
        envelope, tree = granted.instruction.envelope, granted.instruction.tree
        return WholeLaunch(granted.token, inputs, Delivery(envelope, tree, contents))

    def take_back(self, taken: WholeLaunch | None) -> None:
        """Undo a launch that reached nobody; it does not count as an attempt."""
        if taken is not None:
            self._leases.take_back(taken.token)

    def finish(self, lease: Lease, reply: Delivery | None, context: bytes) -> None:
        """Keep reply and context, and end the lease.

        Args:
            lease: of the launch.
            reply: with all its objects; None: it was accepted before, or there is none.
            context: for the run's next app.

        Raises:
            InvalidError: the reply is not whole, or does not answer the instruction.
            FailedPreconditionError: another reply was accepted before.
        """
        now, kept = self._clock.now(), None
        with self._store.transaction() as tx:
            if reply is not None:
                kept = self._apps.keep_reply(tx, lease, reply, now)
                if kept is not None and kept.missing:
                    raise InvalidError("message refused: a launch ends with a whole reply")
            self._apps.end(tx, lease, context, now)
        if kept is not None:
            self._apps.note_reply(kept)
