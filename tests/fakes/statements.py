"""Counts what a store is asked, so that tests can say how much an operation may cost."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import event

from flwr.store.commit_log import Log
from flwr.store.store import Store


class Asked:
    """What reached the database since this was made."""

    def __init__(self, log: Log) -> None:
        self.statements: list[str] = []
        self._log, self._commits, self._syncs = log, log.commits, log.syncs

    @property
    def commits(self) -> int:
        """Transactions that could write."""
        return self._log.commits - self._commits

    @property
    def syncs(self) -> int:
        """How often the disk was waited for; never, where the store need not outlive the test."""
        return self._log.syncs - self._syncs


@contextmanager
def counted(store: Store) -> Iterator[Asked]:
    """Yield what the store's database is asked meanwhile; BEGIN and COMMIT are no statements."""
    asked = Asked(store._log)

    def note_statement(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        if not statement.startswith(("BEGIN", "COMMIT")):
            asked.statements.append(statement)

    engines = (store._engines.writing, store._engines.reading)
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note_statement)
    try:
        yield asked
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", note_statement)
