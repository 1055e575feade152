"""Error replies the node itself makes, and the rules that decide when an instruction gets one.

Functions here work inside the caller's transaction: what becomes of an instruction is always
decided together with what becomes of its lease.
"""

from datetime import datetime
from typing import Final

from flwr.core.ids import ObjectId
from flwr.core.lease import Lease
from flwr.core.limits import MAX_LAUNCH_ATTEMPTS
from flwr.core.message import Envelope, ErrorCode, ObjectTree
from flwr.core.topics import lease_ended
from flwr.store.message_rows import Instruction
from flwr.store.store import Tx
from flwr.wire.object_format import error_reply

ACTOR: Final = "supernode"
WAITING: Final = "waiting"
"""Topic: an instruction waits for an app now."""
MAX_REASON_CHARS: Final = 2000  # a cause, not a log


def find_instruction(tx: Tx, lease: Lease) -> Instruction | None:
    """Return what a lease was granted for; None: it expired or its run ended, and so did the lease.

    A call may find that out though it was let in: its token is looked up before this transaction,
    that of a stream of large objects when it begins.  Such a call is answered as if it had counted,
    so that no app tries again, or fails, over work that nobody wants.
    """
    return tx.messages.find_instruction(lease.message_id) if lease.message_id else None


def answer_with_error(
    tx: Tx,
    instruction: Envelope,
    code: ErrorCode,
    reason: str,
    *,
    now: datetime,
) -> None:
    """Put an error reply to a stored, unanswered instruction into the outbox."""
    reply, content = error_reply(instruction, code, reason[:MAX_REASON_CHARS], now=now)
    object_id = ObjectId(reply.message_id)
    tree = ObjectTree(object_id)
    tx.objects.preregister(instruction.run_id, reply.message_id, tree)
    tx.objects.put(object_id, content)
    tx.messages.add_reply(reply, tree, now=now)
    tx.events.append(
        at=now,
        kind="reply-made",
        actor=ACTOR,
        run_id=instruction.run_id,
        node_id=instruction.dst_node_id,
        message_id=instruction.message_id,
        details={"error_code": int(code), "reason": reason[:MAX_REASON_CHARS]},
    )
    tx.notify("outbox")


def end_lease(tx: Tx, lease: Lease, *, cause: str, now: datetime) -> None:
    """End a lease; the instruction it was bound to is answered, or waits for another launch.

    An app that had its message and left no complete reply is answered for with CLIENT_APP_CRASHED.
    One that never had it is launched again, up to ``MAX_LAUNCH_ATTEMPTS`` times.
    """
    _close(tx, lease, cause, now, rerun_started=False)


def end_answered_lease(
    tx: Tx, lease: Lease, *, cause: str, now: datetime, was_written: bool = True
) -> bool:
    """End the lease of an app whose whole reply is stored; False when it had ended already."""
    if not was_written:
        tx.notify(lease_ended(lease.token_hash))
    elif not tx.leases.end(lease.token_hash):
        return False
    tx.notify("apps")
    _note_ended(tx, lease, cause, "answered", now)
    return True


def revoke_lease(tx: Tx, lease: Lease, *, cause: str, now: datetime, counts: bool = True) -> None:
    """End the lease of an app that we stopped ourselves; its instruction runs again.

    Args:
        tx: the transaction.
        lease: whose.
        cause: why.
        now: when.
        counts: as one of the ``MAX_LAUNCH_ATTEMPTS``.
    """
    _close(tx, lease, cause, now, rerun_started=True, counts=counts)


def take_back_lease(tx: Tx, lease: Lease, *, now: datetime) -> None:
    """End a lease nobody ever held; its instruction waits as if it had not been granted."""
    tx.leases.end(lease.token_hash)
    if lease.message_id is not None:
        tx.messages.release([lease.message_id], counts=False)
    tx.notify(WAITING)
    tx.notify("apps")
    details = {"cause": "the SuperExec did not wait for its launch"}
    tx.events.append(
        at=now,
        kind="lease-taken-back",
        actor=ACTOR,
        run_id=lease.run_id,
        message_id=lease.message_id,
        details=details,
    )


def _close(
    tx: Tx,
    lease: Lease,
    cause: str,
    now: datetime,
    *,
    rerun_started: bool,
    counts: bool = True,
) -> None:
    tx.leases.end(lease.token_hash)
    tx.notify("apps")
    instruction = find_instruction(tx, lease)
    outcome = _settle(tx, instruction, cause, now, rerun_started=rerun_started, counts=counts)
    _note_ended(tx, lease, cause, outcome, now)


def _note_ended(tx: Tx, lease: Lease, cause: str, outcome: str, now: datetime) -> None:
    tx.events.append(
        at=now,
        kind="lease-ended",
        actor=ACTOR,
        run_id=lease.run_id,
        message_id=lease.message_id,
        details={"cause": cause, "outcome": outcome},
    )


def _settle(
    tx: Tx,
    instruction: Instruction | None,
    cause: str,
    now: datetime,
    *,
    rerun_started: bool,
    counts: bool,
) -> str:
    if instruction is None:
        return "done"
    envelope = instruction.envelope
    reply = tx.messages.find_reply(envelope.message_id)
    if reply is not None and not tx.objects.missing(reply.envelope.message_id):
        if not rerun_started:
            tx.notify("outbox")
            return "answered"
        tx.messages.take_back_reply(envelope.message_id)  # what its app would keep is lost
        reply = None
    if reply is not None:
        # Half a reply never becomes whole: its sender is gone.
        tx.messages.delete([envelope.message_id])
        tx.messages.add_instruction(
            envelope, instruction.tree, now=now, expires_at=instruction.expires_at, ready=False
        )
    started = reply is not None or instruction.confirmed_at is not None
    again = reply is None and (rerun_started or not started)
    if again and instruction.attempts + counts < MAX_LAUNCH_ATTEMPTS:
        tx.messages.release([envelope.message_id], counts=counts)
        tx.notify(WAITING)
        return "waits for another launch"
    if again:
        cause = f"{cause} (launched {MAX_LAUNCH_ATTEMPTS} times)"
    answer_with_error(tx, envelope, ErrorCode.CLIENT_APP_CRASHED, cause, now=now)
    return "answered with an error"
