import os
from pathlib import Path

import pytest

from flwr.core import home as subject
from flwr.core.home import NoHomeError, flwr_home


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "tmp"
    place.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(place))
    return place


def test_the_variable_decides(tmp_path: Path) -> None:
    assert flwr_home({"FLWR_HOME": str(tmp_path / "x"), "HOME": "/root"}) == tmp_path / "x"


def test_a_home_that_can_be_written_is_used(tmp_path: Path) -> None:
    assert flwr_home({"HOME": str(tmp_path)}) == tmp_path / ".flwr"
    assert not (tmp_path / ".flwr").exists()


def test_without_a_writable_home_a_private_temporary_directory_is_used(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subject, "_is_writable", lambda _path: False)  # root may write everywhere
    found = flwr_home({"HOME": "/"})
    assert found.parent == temporary
    assert found.stat().st_mode & 0o777 == 0o700
    assert flwr_home({"HOME": "/"}) == found


def test_a_user_without_a_home_gets_the_temporary_directory_too(
    temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", nobody)
    assert flwr_home({}).parent == temporary


@pytest.mark.parametrize("trap", ["link", "open"])
def test_a_directory_prepared_by_somebody_else_is_refused(
    temporary: Path, monkeypatch: pytest.MonkeyPatch, trap: str
) -> None:
    monkeypatch.setattr(subject, "_is_writable", lambda _path: False)
    place = temporary / f"flwr-{os.getuid()}"
    if trap == "link":
        (temporary / "elsewhere").mkdir()
        place.symlink_to(temporary / "elsewhere")
    else:
        place.mkdir()
        place.chmod(0o777)
    with pytest.raises(NoHomeError) as caught:
        flwr_home({"HOME": "/"})
    assert "FLWR_HOME" in caught.value.hint
