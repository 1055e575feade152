"""Operations on messages: instructions out to nodes, replies back, each counted once."""

import logging
import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from flwr.auth.node_keys import NodeIdError
from flwr.core.clock import Clock
from flwr.core.errors import InvalidError
from flwr.core.ids import MessageId, NodeId, ObjectId, RunId
from flwr.core.limits import ENCLOSED_CALL_BYTES, ENCLOSED_MESSAGE_BYTES
from flwr.core.message import Delivery, ErrorCode, check_instruction
from flwr.core.node import NodeStatus
from flwr.store.durability import Durability
from flwr.store.message_rows import Asked, Instruction
from flwr.store.remembered import Memory
from flwr.store.store import Store, Tx
from flwr.superlink import topics
from flwr.superlink.absences import Absences
from flwr.superlink.acceptance import check_form, find_answered, is_answerable, note_refused
from flwr.superlink.answers import answer_failed, answer_unknown
from flwr.superlink.handouts import Handouts
from flwr.superlink.instructions import queue, reachable
from flwr.superlink.message_events import record
from flwr.superlink.running import require_running, require_running_for_node
from flwr.superlink.standings import Standing, standing_of
from flwr.superlink.takers import Takers
from flwr.superlink.traffic import Traffic
from flwr.superlink.uploads import Uploads

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Enqueued:
    """Answer to a batch of instructions: an id per message, "" for a refused one."""

    message_ids: list[MessageId | None]
    missing: list[ObjectId]
    granted: Sequence[Delivery] = ()
    """What is taken by its node already, which has to be handed it now."""
    unsettled: Sequence[str] = ()
    """What came along and is large: ``settle`` it before this is said."""


@dataclass(frozen=True, slots=True)
class Answered:
    """Answer to a reply: its id, None when it was refused."""

    message_id: MessageId | None
    missing: list[ObjectId]
    unsettled: Sequence[str] = ()
    """As of what is enqueued."""


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
        self._handouts = Handouts(clock.now())
        # What nodes for which nothing waits took, and had not confirmed when it was looked at.
        self._open: Memory[NodeId, frozenset[MessageId]] = Memory(store, topics.node)

    def enqueue(
        self, run_id: RunId, messages: Sequence[Delivery], *, takers: Takers | None = None
    ) -> Enqueued:
        """Accept instructions of a running run, with what they bring along (wire contract §9.1).

        Args:
            run_id: the run.
            messages: the instructions.
            takers: nodes that take theirs at once.

        Raises:
            RunNotRunningError: the run is not running.
            InvalidError: a message or its tree is malformed; nothing of the batch was kept.
        """
        if not messages:
            raise InvalidError("the request carries no messages")
        now = self._clock.now()
        with self._store.transaction() as tx:
            require_running(tx, run_id)
            for message in messages:
                check_form(message)
                check_instruction(message.envelope, run_id=run_id)
            accepted = reachable(tx, messages)
            known = tx.messages.find_instructions(list(accepted))
            new = {i: message for i, message in accepted.items() if i not in known}
            granted = [] if takers is None else takers.grant(new.values(), self._knows_idle)
            missing = queue(tx, run_id, new, granted=granted, now=now)
            missing |= tx.objects.missing_all(list(known))
            self._traffic.flush(tx, run_id)
            unsettled = tx.objects.unsettled
        for one in granted:
            taken = frozenset((one.envelope.message_id,))
            self._open.amend(one.envelope.dst_node_id, taken.union)
            self._handouts.note_whole(one.envelope.message_id)
            self._traffic.sent(run_id, one.size_bytes)
        lacking = dict.fromkeys(part for i in accepted for part in missing[i])
        ids = [i if (i := one.envelope.message_id) in accepted else None for one in messages]
        return Enqueued(ids, list(lacking), granted, unsettled)

    def knows_none(self, node_id: NodeId, received: Collection[MessageId] = ()) -> bool:
        """Tell, without a look into the store, that ``deliver`` has nothing for a node.

        Args:
            node_id: who asks.
            received: what it has by now; anything else it took may be handed out again.
        """
        taken = self._open.recall(node_id)
        return taken is not None and taken.issubset(received)

    def _knows_idle(self, node_id: NodeId) -> bool:
        """Tell whether it is known that nothing waits for a node; it may have taken something."""
        return self._open.recall(node_id) is not None

    def deliver(
        self, node_id: NodeId, *, received: Sequence[MessageId] = (), whole_bytes: int = 0
    ) -> Delivery | None:
        """Hand the oldest waiting instruction to ``node_id``; None when nothing waits.

        What the node took a while ago and never confirmed is handed out again.

        Args:
            node_id: who asks.
            received: what it has by now; confirmed only if this call writes anyway.
            whole_bytes: an instruction of at most so many brings its objects along.

        Raises:
            NodeIdError: the node is not registered (any more).
        """
        now, look = self._clock.now(), self._open.begin(node_id)
        with self._store.transaction(Durability.LATER) as tx:
            if tx.nodes.status(node_id) in {None, NodeStatus.UNREGISTERED}:
                raise NodeIdError
            queued = tx.messages.queued(node_id, now)
            open_ones = [one for one in queued if one.confirmed_at is None]
            new = [one.message_id for one in open_ones if one.message_id in received]
            waiting = [one.message_id for one in queued if one.claimed_at is None]
            found: Instruction | None
            if waiting:
                self._confirm(tx, node_id, new, now=now)
                found = tx.messages.take(waiting[0], now)
                record(tx, "message.claimed", found.run_id, node_id, waiting[0], at=now)
            else:
                lost = [one for one in open_ones if one.message_id not in new]
                again = self._handouts.repeat(lost, now=now, knows_repeats=bool(whole_bytes))
                found = None if again is None else tx.messages.find_instruction(again)
            delivery = None if found is None else self._hand_out(tx, found, whole_bytes)
        if len(waiting) < 2:  # noqa: PLR2004  nothing waits any more
            self._open.keep(look, frozenset(one.message_id for one in open_ones))
        return delivery

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
        with self._store.transaction() as tx:
            require_running_for_node(tx, run_id)
            self._confirm(tx, node_id, [message_id], now=self._clock.now())

    def confirm_received(self, node_id: NodeId, message_ids: Sequence[MessageId]) -> None:
        """Note which instructions ``node_id`` has; those it has answered need no note."""
        with self._store.transaction(Durability.LATER) as tx:
            self._confirm(tx, node_id, message_ids, now=self._clock.now())

    def accept_reply(self, node_id: NodeId, reply: Delivery, *, runtime_s: float) -> Answered:
        """Take a node's reply, once, with what it brings along (wire contract §9.3).

        A repeated push of the same reply is answered like the first.  A second, different reply
        and one whose instruction is gone are refused and leave nothing behind.

        Raises:
            RunNotRunningError: the run is not running.
        """
        now = self._clock.now()
        envelope = reply.envelope
        with self._store.transaction(Durability.ANSWERED) as tx:
            instruction = find_answered(tx, reply)
            if instruction is None:  # else its run is running: they end together
                require_running_for_node(tx, envelope.run_id)
                note_refused(reply, "its instruction is unknown")
                return Answered(None, [])
            if not is_answerable(instruction, node_id, reply, now=now):
                return Answered(None, [])
            if instruction.replied_at is None:
                missing = self._keep_reply(tx, instruction, reply, now=now)
                self._traffic.flush(tx, envelope.run_id, clientapp_runtime_s=_plausible(runtime_s))
            else:
                known = tx.messages.find_reply(instruction.message_id)
                if known is None or known.message_id != envelope.message_id:
                    note_refused(reply, "the instruction was answered before")
                    return Answered(None, [])
                missing = tx.objects.missing(envelope.message_id)
            unsettled = tx.objects.unsettled
        answered = frozenset((instruction.message_id,))
        self._open.amend(node_id, lambda taken: taken - answered)
        self._uploads.expect(envelope.run_id, instruction.message_id, missing)
        return Answered(envelope.message_id, missing, unsettled)

    def settle(self, unsettled: Sequence[str]) -> None:
        """Make durable what came along and is large, unless it has gone again."""
        self._store.settle_objects(unsettled)

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
        with self._store.reading() as tx:
            require_running(tx, run_id)
            return self._still_open(tx, run_id, asked, any_will_do=any_will_do)

    def confirm_and_ask(
        self,
        run_id: RunId,
        received: Sequence[MessageId],
        asked: Sequence[MessageId],
        *,
        any_will_do: bool = False,
    ) -> Sequence[MessageId]:
        """Do as ``confirm_replies``, then as ``still_to_ask``, in one transaction."""
        if not received:
            return self.still_to_ask(run_id, asked, any_will_do=any_will_do)
        with self._store.transaction(Durability.LATER) as tx:
            self._forget(tx, run_id, received)
            return self._still_open(tx, run_id, asked, any_will_do=any_will_do)

    def collect(
        self, run_id: RunId, asked: Iterable[MessageId], *, whole: bool = False
    ) -> list[Delivery]:
        """Return the answers there are to the asked instructions (wire contract §9.4).

        A reply can be collected again until it is confirmed.  Unknown and expired instructions,
        and those whose node is gone, are answered with error replies.

        Args:
            run_id: the asking run.
            asked: the instructions.
            whole: small replies bring their objects along; those that find no room any more in
                one call stay for the next.

        Raises:
            RunNotRunningError: the run is not running.
        """
        now = self._clock.now()
        with self._store.reading() as tx:
            require_running(tx, run_id)
            ids = list(dict.fromkeys(asked))
            found = tx.messages.asked(ids)
            stand = {i: self._standing(found.get(i), run_id, now=now) for i in ids}
            answered = [found[i] for i in ids if stand[i] is Standing.ANSWERED]
            answers = _read_answers(tx, answered, whole=whole)
        if failed := [i for i in ids if stand[i] not in {Standing.ANSWERED, Standing.WAITING}]:
            with self._store.transaction() as tx:
                require_running(tx, run_id)
                made = [self._answer(tx, run_id, i, now=now) for i in failed]
            answers += [one if whole else replace(one, contents={}) for one in made if one]
        return answers

    def confirm_replies(self, run_id: RunId, message_ids: Sequence[MessageId]) -> None:
        """Forget answered instructions: the ServerApp has these replies, whole.

        Raises:
            RunNotRunningError: the run is not running.
        """
        with self._store.transaction(Durability.LATER) as tx:
            self._forget(tx, run_id, message_ids)

    def expire(self, tx: Tx, message_ids: Sequence[MessageId], *, now: datetime) -> None:
        """Drop instructions nobody answered in time; whoever asks for one gets error 3."""
        for message_id, instruction in tx.messages.find_instructions(message_ids).items():
            run_id, node_id = instruction.run_id, instruction.dst
            record(tx, "message.expired", run_id, node_id, message_id, at=now)
            tx.notify(topics.run(run_id))
        tx.messages.delete(message_ids)

    def _still_open(
        self, tx: Tx, run_id: RunId, asked: Sequence[MessageId], *, any_will_do: bool
    ) -> Sequence[MessageId]:
        now, found = self._clock.now(), tx.messages.asked(asked)
        stand = {i: self._standing(found.get(i), run_id, now=now) for i in asked}
        waiting = [i for i in asked if stand[i] is Standing.WAITING]
        return [] if any_will_do and len(waiting) < len(asked) else waiting

    def _forget(self, tx: Tx, run_id: RunId, reply_ids: Sequence[MessageId]) -> None:
        require_running(tx, run_id)
        now, found = self._clock.now(), tx.messages.find_replies(reply_ids)
        theirs = [reply for reply in found.values() if reply.run_id == run_id]
        for reply in theirs:
            record(tx, "message.collected", run_id, reply.src, reply.answers, at=now)
        tx.messages.delete([reply.answers for reply in theirs])
        others = [i for i in reply_ids if i not in found]  # such as our own error replies
        mine = [i for i in others if tx.objects.belongs(ObjectId(i), run_id=run_id)]
        tx.objects.release_all(mine)
        self._traffic.flush(tx, run_id)

    def _hand_out(self, tx: Tx, instruction: Instruction, whole_bytes: int) -> Delivery:
        contents = tx.objects.contents(instruction.message_id, at_most=whole_bytes)
        if contents:
            self._handouts.note_whole(instruction.message_id)
            self._traffic.sent(instruction.run_id, sum(map(len, contents.values())))
        return replace(instruction.delivery, contents=contents)

    def _confirm(
        self, tx: Tx, node_id: NodeId, message_ids: Sequence[MessageId], *, now: datetime
    ) -> None:
        self._handouts.forget(message_ids)
        for message_id, run_id in tx.messages.confirm_taken(node_id, message_ids, now):
            record(tx, "message.confirmed", run_id, node_id, message_id, at=now)

    def _keep_reply(
        self, tx: Tx, instruction: Instruction, reply: Delivery, *, now: datetime
    ) -> list[ObjectId]:
        envelope, asked = reply.envelope, instruction.message_id
        run_id, contents = envelope.run_id, reply.contents
        missing = tx.objects.preregister(run_id, envelope.message_id, reply.tree, contents)
        tx.messages.add_reply(envelope, reply.tree, now=now)
        if not self._handouts.was_whole(asked):  # small ones go with their replies, many at once
            tx.objects.release(asked)
        self._handouts.forget([asked])
        record(tx, "message.answered", run_id, envelope.src_node_id, asked, at=now)
        if contents:
            self._traffic.received(run_id, sum(map(len, contents.values())))
        if not missing:
            tx.notify(topics.answer(asked))
        return missing

    def _standing(self, asked: Asked | None, run_id: RunId, *, now: datetime) -> Standing:
        return standing_of(asked, run_id, now=now, absences=self._absences)

    def _answer(self, tx: Tx, run_id: RunId, asked: MessageId, *, now: datetime) -> Delivery | None:
        found = tx.messages.asked([asked]).get(asked)
        standing = self._standing(found, run_id, now=now)
        if standing is Standing.WAITING:
            return None
        if standing is Standing.ANSWERED and found is not None:
            return _read_answers(tx, [found], whole=True)[0]
        instruction = tx.messages.find_instruction(asked)
        if standing is Standing.UNKNOWN or instruction is None:
            tx.messages.delete([asked] if found is not None and found.run_id == run_id else [])
            return answer_unknown(tx, run_id, asked, now=now)
        late = standing is Standing.TOO_LATE
        code = ErrorCode.REPLY_MESSAGE_UNAVAILABLE if late else ErrorCode.NODE_UNAVAILABLE
        return answer_failed(tx, instruction, code, now=now)


def _read_answers(tx: Tx, answered: Sequence[Asked], *, whole: bool) -> list[Delivery]:
    """Return replies that are here; if ``whole``, small ones as far as one call has room."""
    chosen: list[MessageId] = []
    enclosed: list[MessageId] = []
    room = ENCLOSED_CALL_BYTES
    for one in answered:
        if one.reply_id is None or one.reply_bytes is None:
            continue
        if whole and one.reply_bytes <= ENCLOSED_MESSAGE_BYTES:
            if one.reply_bytes > room:
                continue
            room -= one.reply_bytes
            enclosed.append(one.reply_id)
        chosen.append(one.reply_id)
    replies = tx.messages.find_replies(chosen)
    contents = tx.objects.contents_of(enclosed, at_most=ENCLOSED_MESSAGE_BYTES)
    return [replace(replies[i].delivery, contents=contents.get(i, {})) for i in chosen]


def _plausible(runtime_s: float) -> float:
    """Return what a node says it took; 0 where that cannot be, since it is summed up per run."""
    return runtime_s if math.isfinite(runtime_s) and runtime_s > 0 else 0.0
