"""Drop columns that nothing reads any more, and the index over one of them.

A reply is deleted when it was sent; collected ones are deleted when they are confirmed.
"""

from alembic import op

from flwr.store.errors import DowngradeRefusedError

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("ix_reply_outbox", "reply")
    op.drop_column("reply", "sent_at")
    op.drop_column("reply", "send_after")
    op.drop_column("instruction", "collected_at")


def downgrade() -> None:
    raise DowngradeRefusedError(revision)
