from pathlib import Path

import pytest

from flwr.core.errors import InvalidError
from flwr.store.engine import make_postgres_engines, parse_place


def test_anything_that_is_no_url_is_a_path() -> None:
    url = parse_place("state/link.db")
    assert url.get_backend_name() == "sqlite"
    assert url.database == str(Path("state/link.db").absolute())


def test_a_sqlite_url_is_a_path_too() -> None:
    assert parse_place("sqlite:////state/link.db").database == "/state/link.db"


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_postgres_is_reached_by_psycopg(scheme: str) -> None:
    url = parse_place(f"{scheme}://flwr:secret@db/flwr")
    assert url.drivername == "postgresql+psycopg"


def test_an_unknown_url_is_refused_without_showing_its_password() -> None:
    with pytest.raises(InvalidError) as caught:
        parse_place("mysql://flwr:secret@db/flwr")
    assert "secret" not in caught.value.message


def test_postgres_engines_differ_in_what_they_allow() -> None:
    engines = make_postgres_engines(parse_place("postgresql://db/flwr"))
    assert engines.reading.get_execution_options()["postgresql_readonly"] is True
    engines.dispose()
