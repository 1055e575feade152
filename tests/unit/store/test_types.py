from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.dialects import sqlite

from flwr.store.types import (
    Json,
    UInt64,
    UtcTime,
    canonical_json,
    clean_text,
    from_micros,
    to_micros,
)

DIALECT = sqlite.dialect()
INSTANTS = st.datetimes(datetime(1970, 1, 1), datetime(2262, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  hypothesis adds the zone


@given(st.integers(0, 2**64 - 1))
def test_every_unsigned_number_fits_a_signed_column_and_comes_back(number: int) -> None:
    stored = UInt64().process_bind_param(number, DIALECT)
    assert stored is not None
    assert -(2**63) <= stored < 2**63
    assert UInt64().process_result_value(stored, DIALECT) == number


@pytest.mark.parametrize("number", [-1, 2**64])
def test_a_number_beyond_64_bits_is_refused(number: int) -> None:
    with pytest.raises(ValueError, match="64-bit"):
        UInt64().process_bind_param(number, DIALECT)


@given(INSTANTS)
def test_instants_come_back_to_the_microsecond(at: datetime) -> None:
    assert from_micros(to_micros(at)) == at
    stored = UtcTime().process_bind_param(at, DIALECT)
    assert UtcTime().process_result_value(stored, DIALECT) == at


@given(INSTANTS, st.integers(1, 10**6))
def test_stored_instants_order_as_the_instants_do(at: datetime, micros: int) -> None:
    assert to_micros(at) < to_micros(at + timedelta(microseconds=micros))


def test_another_zone_is_stored_as_the_same_instant() -> None:
    east = datetime(2026, 3, 1, 14, tzinfo=timezone(timedelta(hours=2)))
    assert to_micros(east) == to_micros(datetime(2026, 3, 1, 12, tzinfo=UTC))


def test_a_naive_instant_is_refused() -> None:
    with pytest.raises(TypeError):
        to_micros(datetime(2026, 3, 1))  # noqa: DTZ001  the point of the test


def test_json_has_one_text() -> None:
    assert canonical_json({"b": [1, "ü"], "a": None}) == '{"a":null,"b":[1,"\\u00fc"]}'
    assert Json().process_bind_param(None, DIALECT) is None
    assert Json().process_result_value('{"a":1.5}', DIALECT) == {"a": 1.5}


@given(st.text(st.characters(codec=None)))
def test_cleaned_text_can_be_stored_anywhere(text: str) -> None:
    cleaned = clean_text(text)
    assert "\0" not in cleaned
    assert cleaned.encode().decode() == cleaned
    assert clean_text(cleaned) == cleaned
