"""The right to run an app on this node: who is launched, for how long, and what follows its end.

At most one lease per run lives at a time (the state an app keeps between messages is sequential),
at most ``max_apps`` in all.  A lease is bound to the one instruction it was granted for.
"""

import logging
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from flwr.auth.app_tokens import hash_token, new_token
from flwr.core.app_choice import EVERY_APP, AppChoice
from flwr.core.clock import Clock
from flwr.core.errors import UnauthenticatedError
from flwr.core.ids import NodeId, RunId
from flwr.core.lease import AppKind, Lease, heard, renewed
from flwr.core.limits import LEASE_AFTER_HEARTBEAT, LEASE_BEFORE_HEARTBEAT
from flwr.core.message import Delivery
from flwr.core.topics import lease_ended
from flwr.store.durability import Durability
from flwr.store.remembered import Remembered, Ticket
from flwr.store.store import Store, Tx
from flwr.supernode.identity import NodeIdentity
from flwr.supernode.replies import ACTOR, end_lease, revoke_lease, take_back_lease

logger = logging.getLogger(__name__)

_EXPIRED_AT_ONCE: Final = 100  # instructions forgotten in one transaction


@dataclass(frozen=True, slots=True)
class Granted:
    """A new lease, and what it is for."""

    token: str = field(repr=False)
    lease: Lease
    delivery: Delivery  # the instruction
    ticket: Ticket
    """To remember the lease by, once it is committed."""


class AppLeases:
    """Operations on the leases of this node's app processes."""

    def __init__(
        self, store: Store, clock: Clock, identity: NodeIdentity, *, max_apps: int
    ) -> None:
        self._store, self._clock, self._identity = store, clock, identity
        self._max_apps = max_apps
        # Of a remembered lease only what never changes is right: token, run and message.
        self.live = Remembered(store, lease_ended, self.find)

    def runs_to_launch(self, choice: AppChoice = EVERY_APP) -> list[RunId]:
        """Return the runs whose oldest instruction waits for an app, as many as may start now.

        Args:
            choice: only runs of these apps.
        """
        now = self._clock.now()
        node_id = self._identity.known
        if node_id is None:
            return []
        with self._store.reading() as tx:
            return self._launchable(tx, node_id, choice, now)

    def grant_next(self, tx: Tx, choice: AppChoice, now: datetime) -> Granted | None:
        """Grant the launch that has waited longest, within the caller's transaction.

        Returns:
            None when nothing may start; else call ``note_granted`` after the commit.
        """
        node_id = self._identity.known
        runs = [] if node_id is None else self._launchable(tx, node_id, choice, now)
        return self._grant(tx, runs[0], now) if runs else None

    def give_up(self, tx: Tx, granted: Granted, *, cause: str, now: datetime) -> None:
        """End a lease just granted, for an app that cannot start; it was an attempt."""
        end_lease(tx, granted.lease, cause=f"ClientApp was not started: {cause}", now=now)

    def grant_arriving(self, tx: Tx, delivery: Delivery, now: datetime) -> Granted | None:
        """Grant the launch of an instruction that the caller writes, with the lease (``Arrival``).

        Returns:
            None when it may not start now; else call ``note_granted`` after the commit.
        """
        has_room = self._has_room(tx, delivery.envelope.run_id)
        return self._new_lease(delivery, now) if has_room else None

    def note_granted(self, granted: Granted) -> None:
        """Log a launch, and remember its lease: its app will call soon."""
        self.live.keep(granted.ticket, granted.lease)
        facts = {"run_id": granted.lease.run_id, "message_id": granted.lease.message_id}
        logger.info("Granted a launch", extra={"event": "lease-granted", **facts})

    def anything_waits(self) -> bool:
        """Tell whether any instruction waits for an app, whichever may launch it."""
        node_id = self._identity.known
        if node_id is None:
            return True  # not known yet
        with self._store.reading() as tx:
            return bool(tx.messages.waiting_runs(node_id, self._clock.now()))

    def _launchable(self, tx: Tx, node_id: NodeId, choice: AppChoice, now: datetime) -> list[RunId]:
        live = tx.leases.list()
        if len(live) >= self._max_apps:
            return []
        busy = {lease.run_id for lease in live}
        waiting = [r for r in tx.messages.waiting_runs(node_id, now) if r not in busy]
        if choice.fab_ids is not None:
            waiting = [r for r in waiting if choice.admits(_app_of(tx, r))]
        return waiting[: self._max_apps - len(live)]

    def unserved(self, choice: AppChoice) -> dict[RunId, str]:
        """Return the runs with a waiting instruction that are of none of these apps, and theirs."""
        node_id, now = self._identity.known, self._clock.now()
        if node_id is None or choice.fab_ids is None:
            return {}
        with self._store.reading() as tx:
            apps = {r: _app_of(tx, r) for r in tx.messages.waiting_runs(node_id, now)}
        return {run_id: app for run_id, app in apps.items() if not choice.admits(app)}

    def grant(self, run_id: RunId) -> str | None:
        """Bind the run's oldest waiting instruction to a new lease.

        Returns:
            The token, or None when nothing waits, the run has an app already, or the node is full.
        """
        now = self._clock.now()
        with self._store.transaction() as tx:
            granted = self._grant(tx, run_id, now) if self._has_room(tx, run_id) else None
        if granted is None:
            return None
        self.note_granted(granted)
        return granted.token

    def _has_room(self, tx: Tx, run_id: RunId) -> bool:
        live = tx.leases.list()
        return len(live) < self._max_apps and all(lease.run_id != run_id for lease in live)

    def _grant(self, tx: Tx, run_id: RunId, now: datetime) -> Granted | None:
        taken = tx.messages.claim(self._identity.node_id, limit=1, now=now, run_id=run_id)
        instruction = tx.messages.find_instruction(taken[0]) if taken else None
        if instruction is None:
            return None
        granted = self._new_lease(instruction.delivery, now)
        tx.leases.grant(granted.lease)
        record_grant(tx, granted.lease)
        return granted

    def _new_lease(self, delivery: Delivery, now: datetime) -> Granted:
        token, envelope = new_token(), delivery.envelope
        lease = Lease(
            token_hash=hash_token(token),
            kind=AppKind.CLIENTAPP,
            run_id=envelope.run_id,
            message_id=envelope.message_id,
            granted_at=now,
            until=now + LEASE_BEFORE_HEARTBEAT,
        )
        return Granted(token, lease, delivery, self.live.begin(lease.token_hash))

    def take_back(self, token: str | None) -> None:
        """Undo a grant whose token never reached anybody; it does not count as an attempt."""
        if token is None:
            return
        now = self._clock.now()
        with self._store.transaction() as tx:
            lease = tx.leases.find_by_hash(hash_token(token))
            if lease is not None:
                take_back_lease(tx, lease, now=now)

    def find(self, token_hash: str) -> Lease | None:
        """Return the live lease of a token; None when it ended.

        A lease lives until ``reap`` ends it: after a sleep of this machine its apps are heard
        before the reaper can forgive them, and must not be sent away.
        """
        with self._store.reading() as tx:
            return tx.leases.find_by_hash(token_hash)

    def find_for_run(self, run_id: RunId) -> Lease | None:
        """Return the live lease of a run: there is at most one."""
        with self._store.reading() as tx:
            return next(iter(tx.leases.for_run(run_id)), None)

    def require(self, token: str) -> Lease:
        """Return the live lease of ``token``.

        Raises:
            UnauthenticatedError: there is none.
        """
        lease = self.find(hash_token(token)) if token else None
        if lease is None:
            raise UnauthenticatedError("Invalid token.")
        return lease

    def heartbeat(self, token_hash: str, *, next_in: timedelta | None) -> bool:
        """Renew a lease; False when it is over.

        Args:
            token_hash: of the launch token.
            next_in: when the next heartbeat is announced for; None: not said (upstream's runners).
        """
        now = self._clock.now()
        with self._store.transaction(Durability.LATER) as tx:
            lease = tx.leases.find_by_hash(token_hash)
            if lease is None:
                return False
            later = heard(lease, at=now, next_in=next_in)
            tx.leases.save(later)
            if lease.message_id is not None:  # whose app answers for it from now on
                tx.messages.confirm(lease.message_id, now)
            if later.until < lease.until:
                tx.notify("reaper")
        return True

    def report_exit(self, token: str, *, exit_code: int, cause: str, stopped: bool = False) -> None:
        """Take note that the process of a lease has ended; a lease already given back stays so.

        Args:
            token: of the lease.
            exit_code: its end.
            cause: its end in words.
            stopped: by its SuperExec, which is going away: the instruction waits for another one,
                and the attempt does not count.
        """
        now = self._clock.now()
        with self._store.transaction() as tx:
            lease = tx.leases.find_by_hash(hash_token(token))
            if lease is None:
                return
            if stopped:
                revoke_lease(tx, lease, cause=f"ClientApp {cause}", now=now, counts=False)
            else:
                end_lease(tx, lease, cause=f"ClientApp {cause}", now=now)
        logger.warning(
            "An app process ended without finishing",
            extra={
                "event": "app-exited",
                "run_id": lease.run_id,
                "message_id": lease.message_id,
                "exit_code": exit_code,
                "cause": cause,
            },
        )

    def reap(self) -> datetime | None:
        """End what has run out of time; return the next deadline, None when there is none."""
        now = self._clock.now()
        with self._store.transaction() as tx:
            for lease in tx.leases.lapsed(now):
                waited = int((now - lease.granted_at).total_seconds())
                cause = f"ClientApp sent no heartbeat and was given up {waited} s after its launch"
                end_lease(tx, lease, cause=cause, now=now)
                logger.warning(
                    "A lease has lapsed",
                    extra={
                        "event": "lease-lapsed",
                        "run_id": lease.run_id,
                        "message_id": lease.message_id,
                    },
                )
            self._forget_expired(tx, now)
            deadlines = (tx.leases.next_lapse(), tx.messages.next_expiry())
        return min((d for d in deadlines if d is not None), default=None)

    def renew_all(self) -> None:
        """Give every lease a fresh grace: the node itself was away, not its apps."""
        now = self._clock.now()
        with self._store.transaction() as tx:
            for lease in tx.leases.list():
                tx.leases.save(renewed(lease, at=now, patience=LEASE_AFTER_HEARTBEAT))

    def revoke_all(self, cause: str) -> int:
        """End every lease because the apps are gone with their SuperExec; their work runs again.

        Returns:
            How many leases there were.
        """
        now = self._clock.now()
        with self._store.transaction() as tx:
            live = tx.leases.list()
            for lease in live:
                revoke_lease(tx, lease, cause=cause, now=now)
        if live:
            logger.warning(
                "Revoked the leases of lost apps",
                extra={"event": "leases-revoked", "count": len(live), "cause": cause},
            )
        return len(live)

    @staticmethod
    def _forget_expired(tx: Tx, now: datetime) -> None:
        expired = set(tx.messages.expired(now, _EXPIRED_AT_ONCE))
        if not expired:
            return
        bound: Iterable[Lease] = [x for x in tx.leases.list() if x.message_id in expired]
        tx.messages.delete(sorted(expired))
        for lease in bound:
            end_lease(tx, lease, cause="its instruction has expired", now=now)
        for message_id in expired:
            tx.events.append(at=now, kind="instruction-expired", actor=ACTOR, message_id=message_id)


def record_grant(tx: Tx, lease: Lease) -> None:
    """Append the event of a new lease."""
    tx.events.append(
        at=lease.granted_at,
        kind="lease-granted",
        actor=ACTOR,
        run_id=lease.run_id,
        message_id=lease.message_id,
    )


def _app_of(tx: Tx, run_id: RunId) -> str:
    run = tx.runs.find(run_id)
    return run.fab_id if run is not None else ""
