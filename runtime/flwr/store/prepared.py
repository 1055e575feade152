"""Statements that are built once and handed to the database's driver as they are.

SQLAlchemy spells a statement for the database that is spoken, and says how its values cross; that
is kept.  Running it through SQLAlchemy again and again costs ten times what the database needs.
"""

from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, Dialect, Executable
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.elements import ClauseElement
from sqlalchemy.types import TypeDecorator

_LIST: Final = "(__[POSTCOMPILE_{}])"  # how SQLAlchemy leaves room for the values of an IN
_NOTHING: Final[Mapping[str, Any]] = {}
_named_tuple: Final[Any] = namedtuple  # noqa: PYI024  of columns that are known when it is built

Process = Callable[[Any], Any]
Row = Any
"""A named tuple of the columns."""
Read = Callable[[Sequence[Sequence[Any]]], list[Row]]


class Prepared:
    """A statement of the busy paths; values of its parameters come with each run."""

    def __init__(self, statement: Executable, *, is_insert_of: Sequence[str] | None = None) -> None:
        """Keep a statement.

        Args:
            statement: built by SQLAlchemy; ``bindparam`` names what differs between runs, and
                ``expanding`` ones take at least one value.
            is_insert_of: the columns that are given, where the statement does not name them.
        """
        self._statement, self._columns = statement, is_insert_of
        self._plans: dict[str, _Plan] = {}
        self._readers: dict[str, Read] = {}

    def rows(self, connection: Connection, values: Mapping[str, Any] = _NOTHING) -> list[Row]:
        """Run it and return all rows."""
        cursor = _execute(connection, *self._plan(connection).bind(values))
        dialect = connection.dialect
        read = self._readers.get(dialect.name)
        if read is None:
            read = self._readers[dialect.name] = _reader(self._statement, dialect, cursor)
        return read(cursor.fetchall())

    def first(self, connection: Connection, values: Mapping[str, Any] = _NOTHING) -> Row | None:
        """Run it and return the first row, None when there is none."""
        return next(iter(self.rows(connection, values)), None)

    def change(self, connection: Connection, values: Mapping[str, Any] = _NOTHING) -> int:
        """Run it and return how many rows it changed; it returns none of them."""
        count: int = _execute(connection, *self._plan(connection).bind(values)).rowcount
        return count

    def change_each(self, connection: Connection, many: Sequence[Mapping[str, Any]]) -> None:
        """Run it once for each of many sets of values; none, and nothing happens."""
        if many:
            plan = self._plan(connection)
            bound = [plan.bind(values)[1] for values in many]
            _execute(connection, plan.text, bound, is_many=True)

    def _plan(self, connection: Connection) -> "_Plan":
        dialect = connection.dialect
        plan = self._plans.get(dialect.name)
        if plan is None:
            plan = self._plans[dialect.name] = _plan(self._statement, dialect, self._columns)
        return plan


class _Bind(NamedTuple):
    name: str
    otherwise: Any  # its value where a run gives none
    process: Process | None
    is_list: bool


@dataclass(frozen=True, slots=True)
class _Plan:
    """What one kind of database is told."""

    text: str
    binds: tuple[_Bind, ...]  # in the order of the text, where they have no names there
    is_named: bool
    has_lists: bool

    def bind(self, values: Mapping[str, Any]) -> tuple[str, Any]:
        """Return the text and its parameters as the driver takes them."""
        if self.has_lists:
            return self._bind_lists(values)
        given = [
            values.get(name, otherwise) if process is None else process(values.get(name, otherwise))
            for name, otherwise, process, _ in self.binds
        ]
        if self.is_named:
            return self.text, {bind.name: one for bind, one in zip(self.binds, given, strict=True)}
        return self.text, given

    def _bind_lists(self, values: Mapping[str, Any]) -> tuple[str, Any]:
        text = self.text
        bound: list[tuple[str, Any]] = []
        for bind in self.binds:
            value = values.get(bind.name, bind.otherwise)
            if bind.is_list:
                found = [value] if bind.process is None else [map(bind.process, value)]
                parts = [(f"{bind.name}_{n}", one) for n, one in enumerate(chain(*found))]
                times = -1 if self.is_named else 1  # a name is bound once for all its places
                text = text.replace(_LIST.format(bind.name), self._places(parts), times)
                bound += parts
            else:
                bound.append((bind.name, value if bind.process is None else bind.process(value)))
        return text, dict(bound) if self.is_named else [one for _, one in bound]

    def _places(self, parts: Sequence[tuple[str, Any]]) -> str:
        places = (f"%({name})s" for name, _ in parts) if self.is_named else ("?" for _ in parts)
        return f"({', '.join(places)})"


def _plan(statement: Executable, dialect: Dialect, columns: Sequence[str] | None) -> _Plan:
    if not isinstance(statement, ClauseElement):
        raise TypeError(f"{statement!r} is no SQL expression")
    compiled: Any = statement.compile(dialect=dialect, column_keys=columns)
    names = compiled.positiontup if compiled.positional else list(compiled.params)
    binds = tuple(_binds(compiled, names, dialect))
    has_lists = any(bind.is_list for bind in binds)
    return _Plan(compiled.string, binds, not compiled.positional, has_lists)


def _reader(statement: Any, dialect: Dialect, cursor: Any) -> Read:
    """Return what makes our rows of the driver's; ``cursor`` tells how it sends the columns."""
    columns = statement.exported_columns
    make_row = _named_tuple("Row", [str(column.key) for column in columns], rename=True)._make
    kinds = [column[1] for column in cursor.description]
    found = (
        _process(column.type, dialect, "result_processor", kind)
        for column, kind in zip(columns, kinds, strict=True)
    )
    processes = [(n, process) for n, process in enumerate(found) if process is not None]

    def read(raw: Sequence[Sequence[Any]]) -> list[Row]:
        if not processes:
            return list(map(make_row, raw))
        rows = [list(one) for one in raw]
        for row in rows:
            for position, process in processes:
                row[position] = process(row[position])
        return list(map(make_row, rows))

    return read


def _binds(compiled: Any, names: Sequence[str], dialect: Dialect) -> Iterator[_Bind]:
    for name in names:
        parameter = compiled.binds[name]
        process = _process(parameter.type, dialect, "bind_processor")
        yield _Bind(name, compiled.params[name], process, parameter.expanding)


def _process(kind: Any, dialect: Dialect, which: str, *more: Any) -> Process | None:
    """Return what turns a value into the driver's or back, None where it passes as it is."""
    kind = kind.dialect_impl(dialect)
    process: Process | None = getattr(kind, which)(dialect, *more)
    if process is not None and isinstance(kind, TypeDecorator):
        name = "process_bind_param" if which == "bind_processor" else "process_result_value"
        if getattr(kind.impl_instance, which)(dialect, *more) is None:
            return partial(getattr(kind, name), dialect=dialect)  # the same, without a frame of it
    return process


def run_text(connection: Connection, text: str) -> None:
    """Run a statement that has no parameters and returns nothing."""
    _execute(connection, text, ())


def _execute(connection: Connection, text: str, values: Any, *, is_many: bool = False) -> Any:
    dialect, driver = connection.dialect, connection.connection.dbapi_connection
    if driver is None:
        raise RuntimeError("the connection was closed")
    try:
        cursor = driver.cursor()
        (cursor.executemany if is_many else cursor.execute)(text, values)
    except dialect.loaded_dbapi.Error as cause:
        is_lost = dialect.is_disconnect(cause, driver, None)
        if is_lost:
            connection.invalidate(cause)
        raise DBAPIError.instance(
            text,
            None,
            cause,
            dialect.loaded_dbapi.Error,
            hide_parameters=True,
            connection_invalidated=is_lost,
            dialect=dialect,
            ismulti=is_many,
        ) from cause
    return cursor
