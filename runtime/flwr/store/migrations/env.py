"""Alembic's entry: runs migrations on the connection ``store.migration`` passes in."""

from alembic import context

from flwr.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,  # SQLite can, though Alembic does not expect it
)
with context.begin_transaction():
    context.run_migrations()
