"""The SQL of instructions and replies; ``messages`` says what each is for.

Statements of the busy paths are built once: building one costs more than running it.
"""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    ScalarSelect,
    bindparam,
    delete,
    exists,
    func,
    select,
    union_all,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate

from flwr.store.prepared import Prepared
from flwr.store.schema import instruction, lease, message_object, node, object_, reply

UNANSWERED: Final = instruction.c.replied_at.is_(None)


def _time(name: str) -> BindParameter[datetime]:
    return bindparam(name, type_=instruction.c.expires_at.type)


def _claim(*further: ColumnElement[bool]) -> ReturningUpdate[Any]:
    due = (
        select(instruction.c.seq)
        .where(*WAITING, *further)
        .order_by(instruction.c.seq)
        .limit(bindparam("limit"))
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    taken = update(instruction).where(instruction.c.seq.in_(select(due.c.seq)))
    return taken.values(claimed_at=_time("now")).returning(
        instruction.c.seq,
        instruction.c.message_id,
    )


WAITING: Final = (
    instruction.c.dst_node_id == bindparam("dst", type_=instruction.c.dst_node_id.type),
    instruction.c.claimed_at.is_(None),
    UNANSWERED,
    instruction.c.ready.is_(True),
    instruction.c.expires_at > _time("now"),
)
FIND: Final = Prepared(
    select(instruction).where(instruction.c.message_id == bindparam("message_id"))
)
CLAIM: Final = Prepared(_claim())
TAKE: Final = Prepared(
    update(instruction)
    .where(instruction.c.message_id == bindparam("wanted"), instruction.c.claimed_at.is_(None))
    .values(claimed_at=_time("now"))
    .returning(*instruction.c)
)
CLAIM_OF_RUN: Final = Prepared(
    _claim(
        instruction.c.run_id == bindparam("of_run", type_=instruction.c.run_id.type),
    )
)
WAITING_RUNS: Final = Prepared(
    select(instruction.c.run_id)
    .where(*WAITING)
    .group_by(instruction.c.run_id)
    .order_by(func.min(instruction.c.seq))
)
MARK_REPLIED: Final = Prepared(  # unless the reply's id is that of another one
    update(instruction)
    .where(
        instruction.c.message_id == bindparam("asked"),
        ~exists().where(reply.c.message_id == bindparam("answer")),
    )
    .values(replied_at=func.coalesce(instruction.c.replied_at, _time("now")))
)
EXISTS: Final = Prepared(
    select(instruction.c.seq).where(instruction.c.message_id == bindparam("asked"))
)
FIND_REPLY: Final = Prepared(select(reply).where(reply.c.reply_to == bindparam("asked")))
THESE: Final = instruction.c.message_id.in_(bindparam("ids", expanding=True))
FIND_THESE: Final = Prepared(select(instruction).where(THESE))
REPLIES: Final = Prepared(
    select(reply).where(reply.c.message_id.in_(bindparam("ids", expanding=True)))
)
QUEUED: Final = Prepared(
    select(instruction.c.message_id, instruction.c.claimed_at, instruction.c.confirmed_at)
    .where(
        instruction.c.dst_node_id == bindparam("dst", type_=instruction.c.dst_node_id.type),
        UNANSWERED,
        instruction.c.claimed_at.is_not(None)
        | (instruction.c.ready.is_(True) & (instruction.c.expires_at > _time("now"))),
    )
    .order_by(instruction.c.seq)
)
CONFIRM_THESE: Final = Prepared(
    update(instruction)
    .where(
        THESE,
        instruction.c.dst_node_id == bindparam("dst", type_=instruction.c.dst_node_id.type),
        instruction.c.claimed_at.is_not(None),
        instruction.c.confirmed_at.is_(None),
        UNANSWERED,
    )
    .values(confirmed_at=_time("now"))
    .returning(instruction.c.message_id, instruction.c.run_id)
)


def _of_reply(figure: ColumnElement[Any]) -> ScalarSelect[Any]:
    parts = message_object.join(object_, object_.c.object_id == message_object.c.object_id)
    mine = message_object.c.message_id == reply.c.message_id
    return select(figure).select_from(parts).where(mine).correlate(reply).scalar_subquery()


ASKED: Final = Prepared(
    select(
        instruction.c.message_id,
        instruction.c.run_id,
        instruction.c.dst_node_id,
        instruction.c.expires_at,
        node.c.status,
        reply.c.message_id.label("reply_id"),
        reply.c.error.is_not(None).label("is_error"),
        _of_reply(func.sum(object_.c.size_bytes)).label("reply_bytes"),
        _of_reply(func.count() - func.count(object_.c.size_bytes)).label("awaited"),
    )
    .outerjoin(reply, reply.c.reply_to == instruction.c.message_id)
    .outerjoin(node, node.c.node_id == instruction.c.dst_node_id)
    .where(THESE)
)
OWNERS: Final = Prepared(
    union_all(
        select(instruction.c.message_id).where(THESE),
        select(reply.c.message_id).where(reply.c.reply_to.in_(bindparam("ids", expanding=True))),
    )
)
DELETE: Final = Prepared(delete(instruction).where(THESE))  # replies go with them
DELETE_REPLY: Final = Prepared(
    delete(reply).where(reply.c.reply_to == bindparam("asked")).returning(reply.c.message_id)
)
TO_SEND: Final = Prepared(
    select(reply)
    .where(
        ~exists().where(
            message_object.c.message_id == reply.c.message_id,
            object_.c.object_id == message_object.c.object_id,
            object_.c.size_bytes.is_(None),
        ),
        ~exists().where(lease.c.message_id == reply.c.reply_to),
    )
    .order_by(reply.c.seq)
)
