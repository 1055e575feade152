"""Counts what a store is asked, so that tests can say how much an operation may cost."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import event

from flwr.store.store import Store


@dataclass
class Asked:
    """What reached the database: statements, and transactions that could write."""

    statements: list[str] = field(default_factory=list)
    commits: int = 0


@contextmanager
def counted(store: Store) -> Iterator[Asked]:
    """Yield what the store's database is asked meanwhile; BEGIN and COMMIT are no statements."""
    asked = Asked()

    def note_statement(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        if not statement.startswith("BEGIN"):
            asked.statements.append(statement)

    def note_commit(_connection: Any) -> None:
        asked.commits += 1

    writing, reading = store._engines.writing, store._engines.reading
    for engine in (writing, reading):
        event.listen(engine, "before_cursor_execute", note_statement)
    event.listen(writing, "commit", note_commit)
    try:
        yield asked
    finally:
        for engine in (writing, reading):
            event.remove(engine, "before_cursor_execute", note_statement)
        event.remove(writing, "commit", note_commit)
