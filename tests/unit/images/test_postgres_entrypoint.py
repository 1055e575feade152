"""images/postgres/entrypoint.py: what it asks of its environment before it starts a database."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography import x509
from images.postgres import entrypoint
from images.postgres.entrypoint import StartError


@pytest.fixture
def password(tmp_path: Path) -> Path:
    file = tmp_path / "secrets" / "password"
    file.parent.mkdir()
    file.write_text("it's a secret\n")
    return file


def settings(password: Path, data: Path) -> entrypoint.Settings:
    return entrypoint.read_settings(
        {"POSTGRES_USER": "flwr", "POSTGRES_PASSWORD_FILE": str(password), "PGDATA": str(data)}
    )


def test_the_database_is_named_as_the_user(password: Path, tmp_path: Path) -> None:
    found = settings(password, tmp_path / "data")

    assert (found.user, found.database, found.password) == ("flwr", "flwr", "it's a secret")


@pytest.mark.parametrize("name", ["Flwr", 'a"; DROP', "1a", "x" * 64])
def test_a_name_that_needs_quoting_is_refused(password: Path, name: str) -> None:
    with pytest.raises(StartError, match="POSTGRES_DB is"):
        entrypoint.read_settings({"POSTGRES_DB": name, "POSTGRES_PASSWORD_FILE": str(password)})


def test_nothing_starts_without_a_password(password: Path, tmp_path: Path) -> None:
    with pytest.raises(StartError, match="no password") as raised:
        entrypoint.read_settings({"POSTGRES_PASSWORD_FILE": str(tmp_path / "none")})
    assert "make database-secret" in raised.value.remedy

    for content in ("\n", "two\nlines\n"):
        password.write_text(content)
        with pytest.raises(StartError, match="empty or not one line"):
            settings(password, tmp_path)


def test_a_folder_of_something_else_is_left_alone(password: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "photos").touch()

    with pytest.raises(StartError, match="holds something else"):
        entrypoint.initialise(settings(password, tmp_path / "data"))


def test_a_database_that_is_there_is_not_made_again(
    password: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "PG_VERSION").write_text("17\n")
    monkeypatch.setattr(entrypoint, "_run", pytest.fail)

    entrypoint.initialise(settings(password, tmp_path / "data"))


def test_quotes_in_a_password_are_no_sql(
    password: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []

    def run(_: object, text: str) -> str:
        said.append(text)
        return ""

    monkeypatch.setattr(entrypoint, "_run", run)

    entrypoint.set_password(settings(password, tmp_path))

    assert said == ["ALTER ROLE \"flwr\" PASSWORD 'it''s a secret';\n"]


def test_a_refused_statement_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = '2026-11-22 UTC [7] ERROR:  role "flwr" does not exist\n'
    monkeypatch.setattr(entrypoint, "_run", lambda *_: said)

    with pytest.raises(StartError, match='role "flwr" does not exist'):
        entrypoint.single_user(tmp_path, "ALTER ROLE")


def test_a_given_certificate_is_preferred_to_one_made_here(password: Path, tmp_path: Path) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    made, key = entrypoint.tls_files(settings(password, tmp_path), now)
    again, _ = entrypoint.tls_files(settings(password, tmp_path), now)

    certificate = x509.load_pem_x509_certificate(made.read_bytes())
    assert certificate.not_valid_after_utc.year == 2035
    assert (again, key.stat().st_mode & 0o777) == (made, 0o600)

    for name in ("server.crt", "server.key"):
        (password.parent / name).touch()
    assert entrypoint.tls_files(settings(password, tmp_path), now) == (
        password.parent / "server.crt",
        password.parent / "server.key",
    )


def test_only_tls_and_passwords_are_let_in_from_outside() -> None:
    rules = (Path(entrypoint.__file__).parent / "pg_hba.conf").read_text().splitlines()

    assert [rule.split()[0] for rule in rules if not rule.startswith("#")] == ["local", "hostssl"]
