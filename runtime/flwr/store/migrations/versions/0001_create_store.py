"""Create the store: every table of the first version."""

from typing import Any, Final

import sqlalchemy as sa
from alembic import op

from flwr.store.errors import DowngradeRefusedError

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# SQLite counts rows by itself only when the key's type is spelled INTEGER.
_SEQUENCE: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    _create_run()
    _create_fab()
    _create_lease()
    _create_app_context()
    _create_run_log()
    _create_log_chunk()
    _create_node()
    _create_instruction()
    _create_reply()
    _create_object()
    _create_message_object()
    _create_event()
    _create_meta()


def downgrade() -> None:
    raise DowngradeRefusedError(revision)


def _create_run() -> None:
    op.create_table(
        "run",
        sa.Column("run_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("fab_id", sa.Text(), nullable=False),
        sa.Column("fab_version", sa.Text(), nullable=False),
        sa.Column("fab_hash", sa.Text(), nullable=False),
        sa.Column("override_config", sa.Text(), nullable=False),
        sa.Column("federation", sa.Text(), nullable=False),
        sa.Column("account_id", sa.Text(), nullable=False),
        sa.Column("account_name", sa.Text(), nullable=False),
        sa.Column("run_type", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("details", sa.Text(), nullable=False),
        sa.Column("pending_at", sa.BigInteger(), nullable=False),
        sa.Column("starting_at", sa.BigInteger()),
        sa.Column("running_at", sa.BigInteger()),
        sa.Column("finished_at", sa.BigInteger()),
        sa.Column("bytes_sent", sa.BigInteger(), nullable=False),
        sa.Column("bytes_recv", sa.BigInteger(), nullable=False),
        sa.Column("clientapp_runtime_s", sa.Double(), nullable=False),
        sa.Column("simulation", sa.Text()),
        sa.Column("submit_key", sa.Text()),
        sa.PrimaryKeyConstraint("run_id", name="pk_run"),
        sa.UniqueConstraint("account_id", "submit_key", name="uq_run_account_id_submit_key"),
    )
    op.create_index("ix_run_account_id_pending_at", "run", ["account_id", "pending_at"])
    op.create_index("ix_run_fab_hash", "run", ["fab_hash"])
    op.create_index("ix_run_pending_at_run_id", "run", ["pending_at", "run_id"])
    op.create_index("ix_run_status_pending_at", "run", ["status", "pending_at"])


def _create_fab() -> None:
    op.create_table(
        "fab",
        sa.Column("fab_hash", sa.Text(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("verifications", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("fab_hash", name="pk_fab"),
    )


def _create_lease() -> None:
    op.create_table(
        "lease",
        sa.Column("token_hash", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("message_id", sa.Text()),
        sa.Column("granted_at", sa.BigInteger(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.Column("inputs_pulled", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("token_hash", name="pk_lease"),
    )
    op.create_index("ix_lease_run_id", "lease", ["run_id"])
    op.create_index("ix_lease_until", "lease", ["until"])


def _create_app_context() -> None:
    op.create_table(
        "app_context",
        sa.Column("run_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("node_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "node_id", name="pk_app_context"),
    )


def _create_run_log() -> None:
    op.create_table(
        "run_log",
        sa.Column("run_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("last_at", sa.BigInteger(), nullable=False),
        sa.Column("is_full", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", name="pk_run_log"),
    )


def _create_log_chunk() -> None:
    op.create_table(
        "log_chunk",
        sa.Column("run_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("run_id", "at", name="pk_log_chunk"),
        sqlite_with_rowid=False,
    )


def _create_node() -> None:
    op.create_table(
        "node",
        sa.Column("node_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("owner_id", sa.Text(), nullable=False),
        sa.Column("owner_name", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("registered_at", sa.BigInteger(), nullable=False),
        sa.Column("activated_at", sa.BigInteger()),
        sa.Column("deactivated_at", sa.BigInteger()),
        sa.Column("unregistered_at", sa.BigInteger()),
        sa.Column("online_until", sa.BigInteger()),
        sa.Column("heartbeat_interval_s", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("node_id", name="pk_node"),
        sa.UniqueConstraint("public_key", name="uq_node_public_key"),
    )
    op.create_index("ix_node_status_online_until", "node", ["status", "online_until"])


def _create_instruction() -> None:
    op.create_table(
        "instruction",
        sa.Column("seq", _SEQUENCE, nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("src_node_id", sa.BigInteger(), nullable=False),
        sa.Column("dst_node_id", sa.BigInteger(), nullable=False),
        sa.Column("reply_to", sa.Text()),
        sa.Column("group_id", sa.Text(), nullable=False),
        sa.Column("message_type", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("ttl", sa.Double(), nullable=False),
        sa.Column("error", sa.Text()),
        sa.Column("tree", sa.LargeBinary(), nullable=False),
        sa.Column("added_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("ready", sa.Boolean(), nullable=False),
        sa.Column("claimed_at", sa.BigInteger()),
        sa.Column("confirmed_at", sa.BigInteger()),
        sa.Column("replied_at", sa.BigInteger()),
        sa.Column("collected_at", sa.BigInteger()),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_instruction"),
        sa.UniqueConstraint("message_id", name="uq_instruction_message_id"),
    )
    op.create_index(
        "ix_instruction_expires_at", "instruction", ["expires_at"], **_where("replied_at IS NULL")
    )
    op.create_index("ix_instruction_run_id", "instruction", ["run_id", "seq"])
    op.create_index(
        "ix_instruction_unanswered",
        "instruction",
        ["dst_node_id", "seq"],
        **_where("replied_at IS NULL"),
    )
    op.create_index(
        "ix_instruction_waiting",
        "instruction",
        ["dst_node_id", "seq"],
        **_where("claimed_at IS NULL AND replied_at IS NULL"),
    )


def _create_reply() -> None:
    op.create_table(
        "reply",
        sa.Column("seq", _SEQUENCE, nullable=False),
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.Column("src_node_id", sa.BigInteger(), nullable=False),
        sa.Column("dst_node_id", sa.BigInteger(), nullable=False),
        sa.Column("reply_to", sa.Text(), nullable=False),
        sa.Column("group_id", sa.Text(), nullable=False),
        sa.Column("message_type", sa.Text(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("ttl", sa.Double(), nullable=False),
        sa.Column("error", sa.Text()),
        sa.Column("tree", sa.LargeBinary(), nullable=False),
        sa.Column("arrived_at", sa.BigInteger(), nullable=False),
        sa.Column("sent_at", sa.BigInteger()),
        sa.Column("send_after", sa.BigInteger()),
        sa.PrimaryKeyConstraint("seq", name="pk_reply"),
        sa.UniqueConstraint("message_id", name="uq_reply_message_id"),
        sa.UniqueConstraint("reply_to", name="uq_reply_reply_to"),
        sa.ForeignKeyConstraint(
            ["reply_to"], ["instruction.message_id"], name="fk_reply_reply_to", ondelete="CASCADE"
        ),
    )
    op.create_index("ix_reply_outbox", "reply", ["seq"], **_where("sent_at IS NULL"))


def _create_object() -> None:
    op.create_table(
        "object",
        sa.Column("object_id", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger()),
        sa.Column("content", sa.LargeBinary()),
        sa.Column("file", sa.Text()),
        sa.PrimaryKeyConstraint("object_id", name="pk_object"),
    )


def _create_message_object() -> None:
    op.create_table(
        "message_object",
        sa.Column("message_id", sa.Text(), nullable=False),
        sa.Column("object_id", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("run_id", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["object_id"], ["object.object_id"], name="fk_message_object_object_id"
        ),
        sa.PrimaryKeyConstraint("message_id", "object_id", name="pk_message_object"),
        sqlite_with_rowid=False,
    )
    op.create_index("ix_message_object_object_id_run_id", "message_object", ["object_id", "run_id"])
    op.create_index("ix_message_object_run_id", "message_object", ["run_id"])


def _create_event() -> None:
    op.create_table(
        "event",
        sa.Column("seq", _SEQUENCE, autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("run_id", sa.BigInteger()),
        sa.Column("node_id", sa.BigInteger()),
        sa.Column("message_id", sa.Text()),
        sa.Column("details", sa.Text(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("seq", name="pk_event"),
    )
    op.create_index("ix_event_node_id_seq", "event", ["node_id", "seq"])
    op.create_index("ix_event_run_id_seq", "event", ["run_id", "seq"])


def _create_meta() -> None:
    op.create_table(
        "meta",
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name="pk_meta"),
    )


def _where(condition: str) -> dict[str, Any]:
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}
