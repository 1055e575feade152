"""An instruction that came whole and was given to an executor at once: what is written of it.

Most are answered sooner than anybody looks.  Nobody was promised anything by then, so the rows of
an arrival are put off (``store.put_off``) and written together with the reply: without those that
would go again at once, the lease and the objects of what is answered.  Whoever looks before finds
all of them.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from flwr.core.lease import Lease
from flwr.core.limits import NODE_REAPS_EVERY
from flwr.core.message import Delivery, Envelope
from flwr.store.store import Tx
from flwr.supernode.leases import record_grant
from flwr.supernode.replies import ACTOR, WAITING


@dataclass(frozen=True, slots=True)
class Arrival:
    """One instruction with its contents, and its lease if an executor has it."""

    delivery: Delivery
    at: datetime
    expires_at: datetime
    lease: Lease | None

    @property
    def envelope(self) -> Envelope:
        """Of the instruction."""
        return self.delivery.envelope

    def __call__(self, tx: Tx) -> None:
        """Write all of it.

        Raises:
            AlreadyExistsError: the instruction came before.
        """
        self.write_row(tx)
        one, owner = self.delivery, self.envelope
        tx.objects.preregister(owner.run_id, owner.message_id, one.tree, one.contents)
        if self.lease is not None:
            tx.leases.grant(self.lease)
        announce(tx, self.expires_at - self.at, waits=self.lease is None)

    def write_row(self, tx: Tx) -> None:
        """Write as much as it takes to be answered, which must follow in the same transaction.

        Raises:
            AlreadyExistsError: the instruction came before.
        """
        tx.messages.add_instruction(
            self.envelope,
            self.delivery.tree,
            now=self.at,
            expires_at=self.expires_at,
            claimed=self.lease is not None,
        )
        record_received(tx, self.envelope, self.at)
        if self.lease is not None:
            record_grant(tx, self.lease)


def record_received(tx: Tx, envelope: Envelope, at: datetime) -> None:
    """Append the event of an instruction that can be executed now."""
    tx.events.append(
        at=at,
        kind="instruction-received",
        actor=ACTOR,
        run_id=envelope.run_id,
        node_id=envelope.dst_node_id,
        message_id=envelope.message_id,
    )


def announce(tx: Tx, lives_for: timedelta, *, waits: bool) -> None:
    """Ring for an instruction that can be executed now, and ``waits`` for an app."""
    if waits:
        tx.notify(WAITING)
        tx.notify("apps")
    if lives_for < NODE_REAPS_EVERY:  # else it is noticed in time
        tx.notify("reaper")
