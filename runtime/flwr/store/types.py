"""Column types that mean the same on SQLite and PostgreSQL: UInt64, UtcTime, Json, FreeText."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from sqlalchemy import BigInteger, Dialect, Text
from sqlalchemy.types import TypeDecorator

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
_TWO_63: Final = 1 << 63
_TWO_64: Final = 1 << 64


# Made once: ``json.dumps`` makes one for each call that does not want the usual text.
_encode: Final = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode


def to_micros(at: datetime) -> int:
    """Return an aware instant as whole microseconds since 1970, exactly."""
    return (at - _EPOCH) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """Return the instant ``micros`` microseconds after 1970, aware, in UTC."""
    return _EPOCH + timedelta(microseconds=micros)


def canonical_json(value: object) -> str:
    """Return the one JSON text of ``value``: keys sorted, no blanks, ASCII only."""
    return "{}" if value == {} else _encode(value)


def clean_text(text: str) -> str:
    """Return ``text`` with what PostgreSQL or UTF-8 cannot hold replaced: NUL, lone surrogates."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


class UInt64(TypeDecorator[int]):
    """An unsigned 64-bit number in a signed column, by two's complement."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: int | None, dialect: Dialect) -> int | None:
        """Map the upper half of the range below zero."""
        del dialect
        if value is None:
            return None
        if not 0 <= value < _TWO_64:
            raise ValueError(f"{value} is no unsigned 64-bit number")
        return value - _TWO_64 if value >= _TWO_63 else value

    def process_result_value(self, value: Any | None, dialect: Dialect) -> int | None:
        """Map negative numbers back to the upper half of the range."""
        del dialect
        if value is None:
            return None
        return int(value) + _TWO_64 if value < 0 else int(value)


class UtcTime(TypeDecorator[datetime]):
    """An instant as whole microseconds since 1970, so that both databases compare it alike."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        """Return microseconds; a naive datetime is a bug and raises TypeError."""
        del dialect
        return None if value is None else to_micros(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        """Return an aware instant in UTC."""
        del dialect
        return None if value is None else from_micros(value)


class Json(TypeDecorator[Any]):
    """A JSON value as canonical text: the same bytes on both databases, so it can be hashed."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: Any | None, dialect: Dialect) -> str | None:
        """Return canonical text; None stays NULL."""
        del dialect
        return None if value is None else canonical_json(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> Any | None:
        """Return the parsed value."""
        del dialect
        return None if value is None else json.loads(value)


class FreeText(TypeDecorator[str]):
    """Text written by people or programs we do not control."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Replace what a database cannot hold."""
        del dialect
        return None if value is None else clean_text(value)
