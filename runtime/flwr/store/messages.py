"""Statements about instructions and replies: the queue of every node, and its outbox.

An instruction waits until it is ``ready``, is claimed by one taker, confirmed, answered once,
collected, deleted.  ``release`` puts a claimed one back.  Each step is one atomic statement.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    delete,
    exists,
    func,
    select,
    update,
)

from flwr.core.errors import AlreadyExistsError, NotFoundError
from flwr.core.ids import MessageId, NodeId, RunId
from flwr.core.message import Delivery, Envelope, ObjectTree
from flwr.store import message_statements as sql
from flwr.store.dialect import MAX_IDS, insert_missing, insert_new
from flwr.store.message_rows import (
    Asked,
    Instruction,
    Queued,
    Reply,
    decode_asked,
    decode_instruction,
    decode_reply,
    encode_instruction,
    encode_message,
)
from flwr.store.objects import Objects
from flwr.store.prepared import Prepared, Row
from flwr.store.schema import instruction, message_object, object_, reply


class Messages:
    """The messages, as one transaction sees them."""

    def __init__(self, connection: Connection, objects: Objects) -> None:
        """Work within the transaction of ``connection``; ``objects`` is of the same one."""
        self._connection = connection
        self._objects = objects

    def add_instruction(
        self,
        envelope: Envelope,
        tree: ObjectTree,
        *,
        now: datetime,
        expires_at: datetime,
        ready: bool = True,
        claimed: bool = False,
    ) -> None:
        """Queue an instruction for its node; not ``ready``: it waits for ``set_ready``.

        Raises:
            AlreadyExistsError: it was queued before.
        """
        further = {"ready": ready, "claimed": claimed}
        row = encode_instruction(envelope, tree, now=now, expires_at=expires_at, **further)
        if not insert_new(self._connection, instruction, row):
            raise AlreadyExistsError(f"instruction {envelope.message_id} exists")

    def add_instructions(
        self, new: Iterable[tuple[Delivery, datetime, bool]], *, now: datetime
    ) -> None:
        """Queue those that are new, with the instant each expires, and whether it is claimed."""
        rows = [
            encode_instruction(one.envelope, one.tree, now=now, expires_at=ends, claimed=claimed)
            for one, ends, claimed in new
        ]
        insert_missing(self._connection, instruction, rows)

    def set_ready(self, message_id: MessageId) -> None:
        """Let an instruction be claimed: its content is complete."""
        self._update(instruction.c.message_id == message_id, ready=True)

    def find_instruction(self, message_id: MessageId) -> Instruction | None:
        """Return the instruction, None if there is none such."""
        row = sql.FIND.first(self._connection, {"message_id": message_id})
        return None if row is None else decode_instruction(row)

    def find_instructions(self, message_ids: Sequence[MessageId]) -> dict[MessageId, Instruction]:
        """Return the instructions with these ids, as far as there are any."""
        found = map(decode_instruction, self._in_parts(sql.FIND_THESE, message_ids))
        return {one.message_id: one for one in found}

    def claim(
        self,
        dst: NodeId,
        *,
        limit: int,
        now: datetime,
        run_id: RunId | None = None,
    ) -> list[MessageId]:
        """Take up to ``limit`` waiting instructions for ``dst``; return their ids, oldest first.

        Atomic: no instruction is ever handed to two takers.  Expired ones are left to the reaper.
        ``now`` comes from the caller's clock, never from the database.
        """
        asked = {"dst": dst, "limit": limit, "now": now}
        if run_id is None:
            rows = sql.CLAIM.rows(self._connection, asked)
        else:
            rows = sql.CLAIM_OF_RUN.rows(self._connection, {**asked, "of_run": run_id})
        return [MessageId(row.message_id) for row in sorted(rows)]

    def take(self, message_id: MessageId, now: datetime) -> Instruction:
        """Claim one of ``queued`` of the same transaction, and return it.

        Raises:
            NotFoundError: it does not wait.
        """
        row = sql.TAKE.first(self._connection, {"wanted": message_id, "now": now})
        if row is None:
            raise NotFoundError(f"instruction {message_id} does not wait")
        return decode_instruction(row)

    def release(self, message_ids: Iterable[MessageId], *, counts: bool = True) -> None:
        """Put claimed, unanswered instructions back to waiting.

        Args:
            message_ids: which.
            counts: each was attempted once more.
        """
        self._update(
            instruction.c.message_id.in_(list(message_ids))
            & instruction.c.claimed_at.is_not(None)
            & sql.UNANSWERED,
            claimed_at=None,
            confirmed_at=None,
            attempts=instruction.c.attempts + int(counts),
        )

    def confirm(self, message_id: MessageId, now: datetime) -> None:
        """Note that the taker has all of a claimed instruction; the first time counts."""
        self._update(
            (instruction.c.message_id == message_id)
            & instruction.c.claimed_at.is_not(None)
            & instruction.c.confirmed_at.is_(None),
            confirmed_at=now,
        )

    def confirm_taken(
        self, dst: NodeId, message_ids: Sequence[MessageId], now: datetime
    ) -> list[tuple[MessageId, RunId]]:
        """Note that ``dst`` has all of what it took; return what was new, and its run.

        What is answered needs no confirmation any more.
        """
        rows = self._in_parts(sql.CONFIRM_THESE, message_ids, dst=dst, now=now)
        return [(MessageId(row.message_id), RunId(row.run_id)) for row in rows]

    def queued(self, dst: NodeId, now: datetime) -> list[Queued]:
        """Return what waits for ``dst`` or was taken by it without an answer, oldest first."""
        rows = sql.QUEUED.rows(self._connection, {"dst": dst, "now": now})
        return [Queued(**row._asdict()) for row in rows]

    def waiting_runs(self, dst: NodeId, now: datetime) -> list[RunId]:
        """Return the runs with an instruction waiting for ``dst``, longest waiting first."""
        rows = sql.WAITING_RUNS.rows(self._connection, {"dst": dst, "now": now})
        return [RunId(row.run_id) for row in rows]

    def unanswered(self, dst: NodeId) -> list[Instruction]:
        """Return what waits for ``dst`` or was taken by it without an answer, oldest first."""
        return self._instructions((instruction.c.dst_node_id == dst) & sql.UNANSWERED)

    def half_answered(self, dst: NodeId) -> list[Instruction]:
        """Return what ``dst`` has answered with a reply that misses content, oldest first."""
        incomplete = exists().where(
            reply.c.reply_to == instruction.c.message_id,
            message_object.c.message_id == reply.c.message_id,
            object_.c.object_id == message_object.c.object_id,
            object_.c.size_bytes.is_(None),
        )
        return self._instructions((instruction.c.dst_node_id == dst) & incomplete)

    def for_run(self, run_id: RunId) -> list[Instruction]:
        """Return every instruction of a run, oldest first."""
        return self._instructions(instruction.c.run_id == run_id)

    def add_reply(self, envelope: Envelope, tree: ObjectTree, *, now: datetime) -> bool:
        """Store the answer to an instruction.

        Returns:
            False if that instruction has one already: each is answered exactly once.

        Raises:
            NotFoundError: there is no such instruction.
        """
        marked = {"asked": envelope.reply_to, "answer": envelope.message_id, "now": now}
        if sql.MARK_REPLIED.change(self._connection, marked) == 0:
            if sql.EXISTS.first(self._connection, {"asked": envelope.reply_to}) is None:
                raise NotFoundError(f"no instruction {envelope.reply_to} to reply to")
            return False
        row = {**encode_message(envelope, tree), "arrived_at": now}
        return insert_new(self._connection, reply, row)

    def take_back_reply(self, instruction_id: MessageId) -> None:
        """Have an instruction unanswered again; what its reply brought is dropped."""
        rows = sql.DELETE_REPLY.rows(self._connection, {"asked": instruction_id})
        self._update(instruction.c.message_id == instruction_id, replied_at=None)
        self._objects.release_all([row.message_id for row in rows])

    def find_reply(self, instruction_id: MessageId) -> Reply | None:
        """Return the answer to an instruction, None while there is none."""
        row = sql.FIND_REPLY.first(self._connection, {"asked": instruction_id})
        return None if row is None else decode_reply(row)

    def find_replies(self, reply_ids: Sequence[MessageId]) -> dict[MessageId, Reply]:
        """Return the replies with these ids of their own, as far as there are any."""
        found = map(decode_reply, self._in_parts(sql.REPLIES, reply_ids))
        return {one.message_id: one for one in found}

    def asked(self, instruction_ids: Sequence[MessageId]) -> dict[MessageId, Asked]:
        """Return where these instructions stand, as far as there are any."""
        found = map(decode_asked, self._in_parts(sql.ASKED, instruction_ids))
        return {one.message_id: one for one in found}

    def delete(self, asked: Iterable[MessageId], replies: Iterable[MessageId] = ()) -> None:
        """Delete instructions, their replies, looked up unless known, and what nobody else owns."""
        ids, known = list(asked), list(replies)
        for start in range(0, len(ids), MAX_IDS):
            these = {"ids": ids[start : start + MAX_IDS]}
            found = () if known else sql.OWNERS.rows(self._connection, these)
            sql.DELETE.change(self._connection, these)
            self._objects.release_all([row.message_id for row in found])
        if known:
            self._objects.release_all([*ids, *known])

    def delete_run(self, run_id: RunId) -> None:
        """Delete every message of a run, and the objects no other run owns."""
        self._connection.execute(delete(instruction).where(instruction.c.run_id == run_id))
        self._objects.release_run(run_id)

    def expired(self, now: datetime, limit: int) -> list[MessageId]:
        """Return up to ``limit`` unanswered instructions whose time is over, oldest first."""
        rows = self._connection.execute(
            select(instruction.c.message_id)
            .where(sql.UNANSWERED, instruction.c.expires_at <= now)
            .order_by(instruction.c.expires_at)
            .limit(limit),
        )
        return [MessageId(row.message_id) for row in rows]

    def next_expiry(self) -> datetime | None:
        """Return when the first unanswered instruction expires; None if none waits."""
        column = instruction.c.expires_at
        earliest = select(func.min(column, type_=column.type)).where(sql.UNANSWERED)
        return self._connection.execute(earliest).scalar_one_or_none()

    def replies_to_send(self) -> list[Reply]:
        """Return the complete replies of apps that have finished, oldest first (SuperNode)."""
        return [decode_reply(row) for row in sql.TO_SEND.rows(self._connection, {})]

    def _in_parts(
        self, statement: Prepared, ids: Sequence[MessageId], **further: Any
    ) -> Iterator[Row]:
        """Yield what ``statement`` finds for ``ids``, not too many of them at a time."""
        for start in range(0, len(ids), MAX_IDS):
            these = {"ids": ids[start : start + MAX_IDS], **further}
            yield from statement.rows(self._connection, these)

    def _instructions(self, which: ColumnElement[bool]) -> list[Instruction]:
        oldest_first = select(instruction).where(which).order_by(instruction.c.seq)
        return [decode_instruction(row) for row in self._connection.execute(oldest_first)]

    def _update(self, which: ColumnElement[bool], **values: Any) -> None:
        self._connection.execute(update(instruction).where(which).values(values))
