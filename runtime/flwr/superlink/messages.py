"""Operations on messages: instructions out to nodes, replies back, each counted once."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Final

from flwr.auth.node_keys import NodeIdError
from flwr.core.clock import Clock
from flwr.core.errors import InvalidError
from flwr.core.ids import MessageId, NodeId, ObjectId, RunId
from flwr.core.limits import MAX_LAUNCH_ATTEMPTS
from flwr.core.message import (
    Delivery,
    ErrorCode,
    check_instruction,
)
from flwr.core.node import Node, NodeStatus
from flwr.core.run import Run, RunNotRunningError, RunStatus, require_running
from flwr.store.message_rows import Instruction, Reply
from flwr.store.store import Store, Tx
from flwr.superlink import topics
from flwr.superlink.absences import Absences
from flwr.superlink.acceptance import check_form, find_answerable, note_refused
from flwr.superlink.answers import answer_failed, answer_unknown
from flwr.superlink.handouts import Handouts
from flwr.superlink.traffic import Traffic
from flwr.superlink.uploads import Uploads

logger = logging.getLogger(__name__)

_SOON: Final = timedelta(minutes=5)  # the reaper looks at least this often
_LONGEST_TTL: Final = timedelta(days=3650)


@dataclass(frozen=True, slots=True)
class Enqueued:
    """Answer to a batch of instructions: an id per message, "" for a refused one."""

    message_ids: list[MessageId | None]
    missing: list[ObjectId]


@dataclass(frozen=True, slots=True)
class Answered:
    """Answer to a reply: its id, None when it was refused."""

    message_id: MessageId | None
    missing: list[ObjectId]


class _Standing(Enum):
    """Where an asked instruction stands."""

    WAITING = auto()
    ANSWERED = auto()
    UNKNOWN = auto()  # never seen, expired, or collected before
    TOO_LATE = auto()  # a reply exists but expired
    NODE_GONE = auto()


class MessageExchange:
    """Enqueue, deliver, accept and collect messages."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        traffic: Traffic,
        uploads: Uploads,
        absences: Absences,
    ) -> None:
        self._store, self._clock = store, clock
        self._traffic, self._uploads, self._absences = traffic, uploads, absences
        self._handouts = Handouts()

    def enqueue(self, run_id: RunId, messages: Sequence[Delivery]) -> Enqueued:
        """Accept instructions of a running run (wire contract §9.1).

        Raises:
            RunNotRunningError: the run is not running.
            InvalidError: a message or its tree is malformed; nothing of the batch was kept.
        """
        if not messages:
            raise InvalidError("the request carries no messages")
        now = self._clock.now()
        with self._store.transaction() as tx:
            require_running(tx.runs.require(run_id))
            for message in messages:
                check_form(message)
                check_instruction(message.envelope, run_id=run_id)
            answered = [self._enqueue_one(tx, message, now=now) for message in messages]
            missing = dict.fromkeys(i for _, lacking in answered for i in lacking)
            self._traffic.flush(tx, run_id)
        return Enqueued([message_id for message_id, _ in answered], list(missing))

    def deliver(self, node_id: NodeId) -> Delivery | None:
        """Hand the oldest waiting instruction to ``node_id``; None when nothing waits.

        What the node took a while ago and never confirmed is handed out again.

        Raises:
            NodeIdError: the node is not registered (any more).
        """
        now = self._clock.now()
        with self._store.reading() as tx:
            node = tx.nodes.find(node_id)
            if node is None or node.status is NodeStatus.UNREGISTERED:
                raise NodeIdError
            if not tx.messages.waiting_runs(node_id, now):
                lost = self._handouts.repeat(tx.messages.claimed(node_id), now=now)
                return None if lost is None else lost.delivery
        with self._store.transaction() as tx:
            taken = tx.messages.claim(node_id, limit=1, now=now)
            instruction = tx.messages.find_instruction(taken[0]) if taken else None
            if instruction is None:
                return None
            envelope = instruction.envelope
            _record(tx, "message.claimed", envelope.run_id, node_id, envelope.message_id, at=now)
            self._traffic.flush(tx, envelope.run_id)
            return Delivery(envelope, instruction.tree)

    def put_back(self, delivery: Delivery) -> None:
        """Let an instruction wait again: the call that claimed it went away."""
        node_id = delivery.envelope.dst_node_id
        with self._store.transaction() as tx:
            instruction = tx.messages.find_instruction(delivery.envelope.message_id)
            if instruction is not None and instruction.confirmed_at is None:
                tx.messages.release([delivery.envelope.message_id])
                tx.notify(topics.node(node_id))

    def confirm_instruction(self, node_id: NodeId, run_id: RunId, message_id: MessageId) -> None:
        """Note that ``node_id`` has the whole instruction.

        Raises:
            RunNotRunningError: the run is not running.
        """
        now = self._clock.now()
        with self._store.transaction() as tx:
            _require_running_for_node(tx, run_id)
            instruction = tx.messages.find_instruction(message_id)
            if instruction is None or instruction.envelope.dst_node_id != node_id:
                return
            self._handouts.forget(message_id)
            if instruction.confirmed_at is None:
                tx.messages.confirm(message_id, now)
                _record(tx, "message.confirmed", run_id, node_id, message_id, at=now)

    def accept_reply(self, node_id: NodeId, reply: Delivery, *, runtime_s: float) -> Answered:
        """Take a node's reply, once (wire contract §9.3).

        A repeated push of the same reply is answered like the first.  A second, different reply
        and one whose instruction is gone are refused and leave nothing behind.

        Raises:
            RunNotRunningError: the run is not running.
        """
        now = self._clock.now()
        envelope = reply.envelope
        with self._store.transaction() as tx:
            _require_running_for_node(tx, envelope.run_id)
            instruction = find_answerable(tx, node_id, reply, now=now)
            if instruction is None:
                return Answered(None, [])
            known = tx.messages.find_reply(instruction.envelope.message_id)
            if known is not None and known.envelope.message_id != envelope.message_id:
                note_refused(reply, "the instruction was answered before")
                return Answered(None, [])
            if known is None:
                self._keep_reply(tx, instruction, reply, now=now)
                self._traffic.flush(tx, envelope.run_id, clientapp_runtime_s=_plausible(runtime_s))
            missing = tx.objects.missing(envelope.message_id)
        self._uploads.expect(envelope.run_id, envelope.message_id, missing)
        return Answered(envelope.message_id, missing)

    def still_to_ask(
        self, run_id: RunId, asked: Sequence[MessageId], *, any_will_do: bool = False
    ) -> Sequence[MessageId]:
        """Return which instructions to look at again; none once enough of them are answered.

        Args:
            run_id: the asking run.
            asked: the instructions; for the next look, what this one returned.
            any_will_do: one answer is enough, else all must be there.

        Raises:
            RunNotRunningError: the run is not running.
        """
        now = self._clock.now()
        with self._store.reading() as tx:
            require_running(tx.runs.require(run_id))
            for position, message_id in enumerate(asked):
                standing, _, _ = self._standing(tx, run_id, message_id, now=now)
                is_waiting = standing is _Standing.WAITING
                if any_will_do and not is_waiting:
                    return ()
                if is_waiting and not any_will_do:
                    return asked[position:]  # an answer stays one: no need to look at it again
        return asked if any_will_do else ()

    def collect(self, run_id: RunId, asked: Sequence[MessageId]) -> list[Delivery]:
        """Return the answers there are to the asked instructions (wire contract §9.4).

        A reply can be collected again until ``confirm_reply``.  Unknown and expired instructions,
        and those whose node is gone, are answered with error replies.

        Raises:
            RunNotRunningError: the run is not running.
        """
        now = self._clock.now()
        answers, failed = [], []
        with self._store.reading() as tx:
            require_running(tx.runs.require(run_id))
            for message_id in dict.fromkeys(asked):
                standing, _, reply = self._standing(tx, run_id, message_id, now=now)
                if standing is _Standing.ANSWERED and reply is not None:
                    answers.append(reply.delivery)
                elif standing is not _Standing.WAITING:
                    failed.append(message_id)
        if failed:
            with self._store.transaction() as tx:
                require_running(tx.runs.require(run_id))
                made = [self._answer(tx, run_id, i, now=now) for i in failed]
            answers += [answer for answer in made if answer is not None]
        return answers

    def confirm_reply(self, run_id: RunId, message_id: MessageId) -> None:
        """Forget an answered instruction: the ServerApp has the whole reply.

        Raises:
            RunNotRunningError: the run is not running.
        """
        now = self._clock.now()
        with self._store.transaction() as tx:
            require_running(tx.runs.require(run_id))
            reply = tx.messages.find_reply_by_id(message_id)
            if reply is not None and reply.envelope.run_id == run_id and reply.envelope.reply_to:
                tx.messages.delete([reply.envelope.reply_to])
                node_id = reply.envelope.src_node_id
                _record(tx, "message.collected", run_id, node_id, reply.envelope.reply_to, at=now)
            elif tx.objects.belongs(ObjectId(message_id), run_id=run_id):
                tx.objects.release(message_id)
            self._traffic.flush(tx, run_id)

    def expire(self, tx: Tx, message_ids: Sequence[MessageId], *, now: datetime) -> None:
        """Drop instructions nobody answered in time; whoever asks for one gets error 3."""
        for message_id in message_ids:
            instruction = tx.messages.find_instruction(message_id)
            if instruction is None:
                continue
            envelope = instruction.envelope
            node_id = envelope.dst_node_id
            _record(tx, "message.expired", envelope.run_id, node_id, message_id, at=now)
            tx.notify(topics.run(envelope.run_id))
        tx.messages.delete(message_ids)

    def _enqueue_one(
        self, tx: Tx, message: Delivery, *, now: datetime
    ) -> tuple[MessageId | None, list[ObjectId]]:
        envelope = message.envelope
        node = tx.nodes.find(envelope.dst_node_id)
        if node is None or not node.is_reachable:
            note_refused(message, "the node is not connected")
            return None, []
        known = tx.messages.find_instruction(envelope.message_id)
        if known is not None:
            return envelope.message_id, tx.objects.missing(envelope.message_id)
        # Judged from its arrival on: the sender's clock may be wrong (wire.md §19 no. 26).
        expires_at = now + min(timedelta(seconds=min(envelope.ttl, 1e9)), _LONGEST_TTL)
        missing = tx.objects.preregister(envelope.run_id, envelope.message_id, message.tree)
        tx.messages.add_instruction(envelope, message.tree, now=now, expires_at=expires_at)
        run_id, node_id = envelope.run_id, envelope.dst_node_id
        _record(tx, "message.enqueued", run_id, node_id, envelope.message_id, at=now)
        tx.notify(topics.node(node_id))
        if expires_at - now < _SOON:
            tx.notify(topics.REAPER)
        return envelope.message_id, missing

    def _keep_reply(
        self, tx: Tx, instruction: Instruction, reply: Delivery, *, now: datetime
    ) -> None:
        envelope = reply.envelope
        missing = tx.objects.preregister(envelope.run_id, envelope.message_id, reply.tree)
        tx.messages.add_reply(envelope, reply.tree, now=now)
        tx.objects.release(instruction.envelope.message_id)
        asked, node_id = instruction.envelope.message_id, envelope.src_node_id
        _record(tx, "message.answered", envelope.run_id, node_id, asked, at=now)
        if not missing:
            tx.notify(topics.run(envelope.run_id))

    def _standing(
        self, tx: Tx, run_id: RunId, asked: MessageId, *, now: datetime
    ) -> tuple[_Standing, Instruction | None, Reply | None]:
        instruction = tx.messages.find_instruction(asked)
        if instruction is None or instruction.envelope.run_id != run_id:
            return _Standing.UNKNOWN, None, None
        is_answered = instruction.replied_at is not None
        reply = tx.messages.find_reply(asked) if is_answered else None
        expired = instruction.expires_at <= now
        if reply is not None and _is_complete(tx, reply):
            late = expired and reply.envelope.error is None
            return (_Standing.TOO_LATE if late else _Standing.ANSWERED), instruction, reply
        if expired:
            state = _Standing.UNKNOWN if reply is None else _Standing.TOO_LATE
            return state, instruction, reply
        node = tx.nodes.find(instruction.envelope.dst_node_id)
        if not self._may_answer(node, now=now):
            return _Standing.NODE_GONE, instruction, reply
        return _Standing.WAITING, instruction, reply

    def _answer(self, tx: Tx, run_id: RunId, asked: MessageId, *, now: datetime) -> Delivery | None:
        standing, instruction, reply = self._standing(tx, run_id, asked, now=now)
        if standing is _Standing.WAITING:
            return None
        if standing is _Standing.ANSWERED and reply is not None:
            return Delivery(reply.envelope, reply.tree)
        if standing is _Standing.UNKNOWN or instruction is None:
            tx.messages.delete([asked] if instruction is not None else [])
            return answer_unknown(tx, run_id, asked, now=now)
        late = standing is _Standing.TOO_LATE
        code = ErrorCode.REPLY_MESSAGE_UNAVAILABLE if late else ErrorCode.NODE_UNAVAILABLE
        return answer_failed(tx, instruction, code, now=now)

    def _may_answer(self, node: Node | None, *, now: datetime) -> bool:
        if node is None or node.status is NodeStatus.UNREGISTERED:
            return False
        is_online = node.status is NodeStatus.ONLINE
        return is_online or self._absences.is_excused(node.node_id, at=now)


def requeue(tx: Tx, node_id: NodeId, *, now: datetime, confirmed_too: bool) -> None:
    """Let the instructions a restarted node had in hand wait again.

    An instruction that was lost ``MAX_LAUNCH_ATTEMPTS`` times is answered with error 8 instead, and
    so is one with half a reply, which a node without memory (``confirmed_too``) never completes.
    """
    for instruction in tx.messages.half_answered(node_id) if confirmed_too else ():
        answer_failed(tx, instruction, ErrorCode.CLIENT_APP_CRASHED, now=now)
    for instruction in tx.messages.unanswered(node_id):
        if instruction.claimed_at is None:
            continue
        if instruction.confirmed_at is not None and not confirmed_too:
            continue
        envelope = instruction.envelope
        if instruction.attempts + 1 >= MAX_LAUNCH_ATTEMPTS:
            answer_failed(tx, instruction, ErrorCode.CLIENT_APP_CRASHED, now=now)
            continue
        tx.messages.release([envelope.message_id])
        _record(tx, "message.requeued", envelope.run_id, node_id, envelope.message_id, at=now)


def _plausible(runtime_s: float) -> float:
    """Return what a node says it took; 0 where that cannot be, since it is summed up per run."""
    return runtime_s if math.isfinite(runtime_s) and runtime_s > 0 else 0.0


def _is_complete(tx: Tx, reply: Reply) -> bool:
    return not tx.objects.missing(reply.envelope.message_id)


def _require_running_for_node(tx: Tx, run_id: RunId) -> Run:
    """Return the run; to a node an unknown run is a finished one, and it drops its work."""
    run = tx.runs.find(run_id)
    if run is None:
        raise RunNotRunningError(RunStatus.FAILED)
    return require_running(run)


def _record(
    tx: Tx, kind: str, run_id: RunId, node_id: NodeId, message_id: MessageId, *, at: datetime
) -> None:
    to_node = kind in {"message.enqueued", "message.collected"}
    actor = "serverapp" if to_node else f"node:{node_id}"
    tx.events.append(
        at=at, kind=kind, actor=actor, run_id=run_id, node_id=node_id, message_id=message_id
    )
