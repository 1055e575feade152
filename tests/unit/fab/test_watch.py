import os
from pathlib import Path

import pytest

from flwr.fab.install import install_fab
from flwr.fab.watch import AppWatch
from tests.unit.fab import given


def watched(folder: Path) -> tuple[Path, AppWatch]:
    app = install_fab(given.fab(), folder)
    return app.path, AppWatch(app)


def test_an_app_nobody_touched_is_unchanged(tmp_path: Path) -> None:
    _, watch = watched(tmp_path)
    assert watch.is_unchanged()
    assert watch.is_unchanged()


@pytest.mark.row("F12")
def test_an_edited_file_is_noticed_whatever_its_size_and_time(tmp_path: Path) -> None:
    path, watch = watched(tmp_path)
    source = path / "tiny/client_app.py"
    times = source.stat()
    source.chmod(0o644)
    source.write_bytes(b"app = 3\n")
    source.chmod(0o444)
    os.utime(source, ns=(times.st_atime_ns, times.st_mtime_ns))

    assert not watch.is_unchanged()


@pytest.mark.row("F12")
@pytest.mark.parametrize("name", ["tiny/numpy.py", "evil.so", "tiny/sub/__init__.py"])
def test_whatever_could_be_imported_is_noticed(tmp_path: Path, name: str) -> None:
    path, watch = watched(tmp_path)
    (path / name).parent.mkdir(exist_ok=True)
    (path / name).write_text("")

    assert not watch.is_unchanged()


def test_a_file_that_is_gone_is_noticed(tmp_path: Path) -> None:
    path, watch = watched(tmp_path)
    (path / "tiny/client_app.py").unlink()

    assert not watch.is_unchanged()


def test_what_an_app_writes_beside_its_own_files_does_not_matter(tmp_path: Path) -> None:
    path, watch = watched(tmp_path)
    (path / "result.csv").write_text("1,2\n")

    assert watch.is_unchanged()


@pytest.mark.row("F12")
def test_bytecode_is_dropped_as_python_would_run_it_in_place_of_the_source(tmp_path: Path) -> None:
    path, watch = watched(tmp_path)
    (path / "tiny/__pycache__").mkdir()
    (path / "tiny/__pycache__/client_app.cpython-313.pyc").write_bytes(b"evil")

    assert watch.is_unchanged()
    assert not (path / "tiny/__pycache__").exists()


def test_an_app_in_which_nothing_came_or_went_is_not_listed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, watch = watched(tmp_path)
    (path / "result.csv").write_text("1,2\n")
    assert watch.is_unchanged()

    monkeypatch.setattr(os, "walk", None)

    assert watch.is_unchanged()
