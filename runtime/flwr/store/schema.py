"""All tables of the store, with the query each index serves.  Both daemons use the same schema.

Change it only together with a new file in ``migrations/versions``; a contract test compares both.
Indexes over some rows say which by ``info``: an argument of a dialect would load it at each start.
"""

from typing import Final

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Connection,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
)
from sqlalchemy.event import listens_for

from flwr.store.types import FreeText, Json, UInt64, UtcTime

REVISION: Final = "0003"
"""The newest migration; the schema below is what it leads to."""

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    },
)

_ROWS: Final = "rows"


@listens_for(metadata, "before_create")
def _say_which_rows(_metadata: MetaData, connection: Connection, **_: object) -> None:
    """Tell the dialect that is spoken which rows an index is over."""
    for index in (index for table in metadata.tables.values() for index in table.indexes):
        if (rows := index.info.get(_ROWS)) is not None:
            index.dialect_options[connection.dialect.name]["where"] = rows


# SQLite counts rows by itself only when the key's type is spelled INTEGER.
_SEQUENCE = BigInteger().with_variant(Integer(), "sqlite")

run = Table(
    "run",
    metadata,
    Column("run_id", UInt64, primary_key=True, autoincrement=False),
    Column("fab_id", Text, nullable=False),
    Column("fab_version", Text, nullable=False),
    Column("fab_hash", Text, nullable=False),
    Column("override_config", Json, nullable=False),
    Column("federation", Text, nullable=False),
    Column("account_id", Text, nullable=False),
    Column("account_name", Text, nullable=False),
    Column("run_type", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("details", FreeText, nullable=False),
    Column("pending_at", UtcTime, nullable=False),
    Column("starting_at", UtcTime),
    Column("running_at", UtcTime),
    Column("finished_at", UtcTime),
    Column("bytes_sent", BigInteger, nullable=False),
    Column("bytes_recv", BigInteger, nullable=False),
    Column("clientapp_runtime_s", Double, nullable=False),
    Column("simulation", Json),
    Column("submit_key", Text),
    Column("origin", Json),
    UniqueConstraint("account_id", "submit_key"),  # find_by_submit_key; one run per key
    Index(None, "status", "pending_at"),  # pending, unfinished
    Index(None, "account_id", "pending_at"),  # list of one account
    Index(None, "pending_at", "run_id"),  # list of all
    Index(None, "fab_hash"),  # fabs.delete_unused
)

node = Table(
    "node",
    metadata,
    Column("node_id", UInt64, primary_key=True, autoincrement=False),
    Column("public_key", LargeBinary, nullable=False),
    Column("owner_id", Text, nullable=False),
    Column("owner_name", Text, nullable=False),
    Column("status", Text, nullable=False),
    Column("registered_at", UtcTime, nullable=False),
    Column("activated_at", UtcTime),
    Column("deactivated_at", UtcTime),
    Column("unregistered_at", UtcTime),
    Column("online_until", UtcTime),
    Column("heartbeat_interval_s", Double, nullable=False),
    UniqueConstraint("public_key"),  # find_by_key; the key of an unregistered node stays taken
    Index(None, "status", "online_until"),  # online, lapsed, next_lapse
)

instruction = Table(
    "instruction",
    metadata,
    Column("seq", _SEQUENCE, primary_key=True),  # order of arrival
    Column("message_id", Text, nullable=False),
    Column("run_id", UInt64, nullable=False),
    Column("src_node_id", UInt64, nullable=False),
    Column("dst_node_id", UInt64, nullable=False),
    Column("reply_to", Text),
    Column("group_id", FreeText, nullable=False),
    Column("message_type", FreeText, nullable=False),
    Column("created_at", Double, nullable=False),  # the sender's, hashed into the id: never rounded
    Column("ttl", Double, nullable=False),
    Column("error", Json),
    Column("tree", LargeBinary, nullable=False),
    Column("added_at", UtcTime, nullable=False),
    Column("expires_at", UtcTime, nullable=False),
    Column("ready", Boolean, nullable=False),  # False: its content is still on the way
    Column("claimed_at", UtcTime),
    Column("confirmed_at", UtcTime),
    Column("replied_at", UtcTime),
    Column("attempts", Integer, nullable=False),  # claims that were released again
    UniqueConstraint("message_id"),
)
Index(  # claim, waiting_runs
    "ix_instruction_waiting",
    instruction.c.dst_node_id,
    instruction.c.seq,
    info={_ROWS: instruction.c.claimed_at.is_(None) & instruction.c.replied_at.is_(None)},
)
Index("ix_instruction_run_id", instruction.c.run_id, instruction.c.seq)  # for_run, delete_run
Index(  # unanswered, claimed
    "ix_instruction_unanswered",
    instruction.c.dst_node_id,
    instruction.c.seq,
    info={_ROWS: instruction.c.replied_at.is_(None)},
)
Index(  # expired, next_expiry
    "ix_instruction_expires_at",
    instruction.c.expires_at,
    info={_ROWS: instruction.c.replied_at.is_(None)},
)

reply = Table(
    "reply",
    metadata,
    Column("seq", _SEQUENCE, primary_key=True),
    Column("message_id", Text, nullable=False),
    Column("run_id", UInt64, nullable=False),
    Column("src_node_id", UInt64, nullable=False),
    Column("dst_node_id", UInt64, nullable=False),
    Column(
        "reply_to",
        Text,
        ForeignKey("instruction.message_id", ondelete="CASCADE"),
        nullable=False,
    ),
    Column("group_id", FreeText, nullable=False),
    Column("message_type", FreeText, nullable=False),
    Column("created_at", Double, nullable=False),
    Column("ttl", Double, nullable=False),
    Column("error", Json),
    Column("tree", LargeBinary, nullable=False),
    Column("arrived_at", UtcTime, nullable=False),
    UniqueConstraint("message_id"),
    UniqueConstraint("reply_to"),  # exactly once: an instruction has one reply
)

object_ = Table(
    "object",
    metadata,
    Column("object_id", Text, primary_key=True),
    Column("size_bytes", BigInteger),  # NULL: announced, content still awaited
    Column("content", LargeBinary),  # small content
    Column("file", Text),  # name below the payload directory, of large content
)

message_object = Table(  # which message needs which object
    "message_object",
    metadata,
    Column("message_id", Text, primary_key=True),
    Column("object_id", Text, ForeignKey("object.object_id"), primary_key=True),
    Column("position", Integer, nullable=False),  # in the tree, children first
    Column("run_id", UInt64, nullable=False),
    Index(None, "object_id", "run_id"),  # belongs, "does anybody still need it"
    Index(None, "run_id"),  # release_run
    sqlite_with_rowid=False,
)

lease = Table(
    "lease",
    metadata,
    Column("token_hash", Text, primary_key=True),
    Column("kind", Text, nullable=False),
    Column("run_id", UInt64, nullable=False),
    Column("message_id", Text),
    Column("granted_at", UtcTime, nullable=False),
    Column("until", UtcTime, nullable=False),
    Column("inputs_pulled", Boolean, nullable=False),
    Index(None, "run_id"),  # for_run
    Index(None, "until"),  # lapsed, next_lapse
)

app_context = Table(
    "app_context",
    metadata,
    Column("run_id", UInt64, primary_key=True, autoincrement=False),
    Column("node_id", UInt64, primary_key=True, autoincrement=False),
    Column("content", LargeBinary, nullable=False),
)

fab = Table(
    "fab",
    metadata,
    Column("fab_hash", Text, primary_key=True),
    Column("content", LargeBinary, nullable=False),
    Column("verifications", Json, nullable=False),
)

run_log = Table(  # one row per run: how much was written, and up to when
    "run_log",
    metadata,
    Column("run_id", UInt64, primary_key=True, autoincrement=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("last_at", UtcTime, nullable=False),
    Column("is_full", Boolean, nullable=False),
)

log_chunk = Table(
    "log_chunk",
    metadata,
    Column("run_id", UInt64, primary_key=True, autoincrement=False),
    Column("at", UtcTime, primary_key=True, autoincrement=False),
    Column("text", FreeText, nullable=False),
    sqlite_with_rowid=False,
)

event = Table(
    "event",
    metadata,
    Column("seq", _SEQUENCE, primary_key=True, autoincrement=False),  # gapless, from 1
    Column("at", UtcTime, nullable=False),
    Column("kind", Text, nullable=False),
    Column("actor", Text, nullable=False),
    Column("run_id", UInt64),
    Column("node_id", UInt64),
    Column("message_id", Text),
    Column("details", Json, nullable=False),
    Column("hash", Text, nullable=False),  # SHA-256 over the previous hash and this row
    Index(None, "run_id", "seq"),  # list of one run
    Index(None, "node_id", "seq"),  # list of one node
)

meta = Table(
    "meta",
    metadata,
    Column("key", Text, primary_key=True),
    Column("value", Text, nullable=False),
)
