"""Counts what a store is asked, so that tests can say how much an operation may cost."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Connection, event

from flwr.store import prepared
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

    engines = (store._engines.writing, store._engines.reading)
    execute = prepared._execute

    def note(statement: str) -> None:
        if not statement.startswith(("BEGIN", "COMMIT")):
            asked.statements.append(statement)

    def execute_prepared(connection: Connection, text: str, *values: Any, **options: Any) -> Any:
        if connection.engine in engines:
            note(text)
        return execute(connection, text, *values, **options)

    def note_other(_connection: Any, _cursor: Any, statement: str, *_more: Any) -> None:
        note(statement)

    for engine in engines:
        event.listen(engine, "before_cursor_execute", note_other)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(prepared, "_execute", execute_prepared)
            yield asked
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", note_other)
