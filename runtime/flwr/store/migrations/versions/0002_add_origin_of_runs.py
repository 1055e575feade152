"""Add the origin of a run's app: repository and commit, where it came from git."""

import sqlalchemy as sa
from alembic import op

from flwr.store.errors import DowngradeRefusedError

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("run", sa.Column("origin", sa.Text()))


def downgrade() -> None:
    raise DowngradeRefusedError(revision)
