"""The password of the overlay postgres is made once."""

from pathlib import Path

import pytest

from compose import database_secret


def test_database_and_superlink_get_the_same_password_each_in_its_folder(tmp_path: Path) -> None:
    assert len(database_secret.make_secret(tmp_path)) == 2

    password = (tmp_path / "postgres" / "password").read_text()
    url = (tmp_path / "superlink-database" / "url").read_text()
    assert len(password) > 30
    assert url == f"postgresql+psycopg://flwr:{password}@postgres:5432/flwr"


def test_a_second_time_changes_nothing(tmp_path: Path) -> None:
    database_secret.make_secret(tmp_path)
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}

    assert database_secret.make_secret(tmp_path) == []
    assert {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()} == before


def test_others_cannot_read_it(tmp_path: Path) -> None:
    for path in database_secret.make_secret(tmp_path):
        assert path.stat().st_mode & 0o007 == 0


def test_a_folder_that_cannot_be_written_is_told_with_the_remedy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "postgres").write_text("in the way")

    assert database_secret.main(["--out", str(tmp_path)]) == 3
    assert "what to do" in capsys.readouterr().err
