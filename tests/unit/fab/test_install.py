import multiprocessing
from collections.abc import Callable
from pathlib import Path

import pytest

from flwr.fab.build import build_fab
from flwr.fab.errors import AppsDirectoryError
from flwr.fab.install import install_fab
from flwr.fab.verify import hash_fab
from tests.unit.fab import given


def files_below(folder: Path) -> dict[str, bytes]:
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


def test_an_app_is_unpacked_below_its_full_hash_without_the_info_folder(tmp_path: Path) -> None:
    content = given.fab()
    app = install_fab(content, tmp_path, expected_hash=hash_fab(content))

    assert app.path == tmp_path / f"acme.tiny-app.1.2.3.{hash_fab(content)}"
    assert files_below(app.path) == given.FILES
    assert app.manifest.config["rounds"] == 3


def test_what_the_builder_makes_can_be_installed(tmp_path: Path) -> None:
    built = build_fab(given.app(tmp_path / "app"))
    assert install_fab(built.content, tmp_path / "apps").fab_hash == built.fab_hash


def test_an_intact_app_is_left_in_place(tmp_path: Path) -> None:
    before = install_fab(given.fab(), tmp_path).path.stat().st_ino
    assert install_fab(given.fab(), tmp_path).path.stat().st_ino == before


def in_another_process(apps: Path) -> Path:
    """Install in a process that has ended, so that nobody holds the app."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_install_path, (apps,))


def _install_path(apps: Path) -> Path:
    return install_fab(given.fab(), apps).path


def edit(path: Path) -> None:
    path.joinpath("tiny/server_app.py").chmod(0o644)
    path.joinpath("tiny/server_app.py").write_bytes(b"app = 6\n")


def add(path: Path) -> None:
    path.joinpath("tiny/sitecustomize.py").write_bytes(b"evil")


def remove(path: Path) -> None:
    path.joinpath("tiny/__init__.py").unlink()


def link(path: Path) -> None:
    path.joinpath("tiny/__init__.py").unlink()
    path.joinpath("tiny/__init__.py").symlink_to("/dev/null")


def link_folder(path: Path) -> None:
    path.joinpath("more").symlink_to(path / "tiny")


@pytest.mark.row("F12")
@pytest.mark.parametrize("tamper", [edit, add, remove, link, link_folder])
def test_an_edited_or_partial_app_is_replaced_on_next_use(
    tmp_path: Path, tamper: Callable[[Path], None]
) -> None:
    path = in_another_process(tmp_path)
    tamper(path)

    again = install_fab(given.fab(), tmp_path)

    assert again.path == path
    assert files_below(path) == given.FILES
    assert not list(path.rglob("more"))


@pytest.mark.row("F12")
@pytest.mark.parametrize("tamper", [edit, add, remove, link, link_folder])
def test_a_running_app_keeps_its_directory_when_it_was_edited(
    tmp_path: Path, tamper: Callable[[Path], None]
) -> None:
    running = install_fab(given.fab(), tmp_path)  # held until this process ends
    tamper(running.path)
    found = files_below(running.path)

    again = install_fab(given.fab(), tmp_path)

    assert again.path != running.path
    assert files_below(again.path) == given.FILES
    assert files_below(running.path) == found
    assert install_fab(given.fab(), tmp_path).path == again.path


def test_what_an_app_writes_beside_its_code_is_left_alone(tmp_path: Path) -> None:
    app = install_fab(given.fab(), tmp_path)
    app.path.joinpath("tiny/cache").mkdir()
    app.path.joinpath("tiny/cache/data.npz").write_bytes(b"data")

    assert install_fab(given.fab(), tmp_path).path == app.path
    assert app.path.joinpath("tiny/cache/data.npz").exists()


@pytest.mark.row("F12")
def test_planted_bytecode_is_removed_before_use(tmp_path: Path) -> None:
    app = install_fab(given.fab(), tmp_path)
    planted = app.path / "tiny/__pycache__/server_app.cpython-311.pyc"
    planted.parent.mkdir()
    planted.write_bytes(b"evil")

    install_fab(given.fab(), tmp_path)

    assert not planted.exists()


@pytest.mark.row("F12")
def test_leftovers_of_a_killed_installation_are_swept(tmp_path: Path) -> None:
    (tmp_path / ".unpacking-dead/tiny").mkdir(parents=True)
    install_fab(given.fab(), tmp_path)
    assert not (tmp_path / ".unpacking-dead").exists()


def test_a_link_in_place_of_the_app_is_replaced_not_followed(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    app_dir = install_fab(given.fab(), tmp_path / "probe").path.name
    (tmp_path / "apps").mkdir()
    (tmp_path / "apps" / app_dir).symlink_to(elsewhere)

    app = install_fab(given.fab(), tmp_path / "apps")

    assert not app.path.is_symlink()
    assert list(elsewhere.iterdir()) == []


def _install(apps: str) -> int:
    return install_fab(given.fab(), Path(apps)).path.stat().st_ino


def test_concurrent_installations_agree_on_one_directory(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        inodes = pool.map(_install, [str(tmp_path)] * 9)

    assert len(set(inodes)) == 1
    assert len([p for p in tmp_path.iterdir() if p.is_dir()]) == 1


def test_an_apps_directory_that_cannot_be_made_is_a_typed_error(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("")
    with pytest.raises(AppsDirectoryError) as caught:
        install_fab(given.fab(), blocker / "apps")
    assert "owner" in caught.value.hint


def test_installed_files_are_read_only(tmp_path: Path) -> None:
    app = install_fab(given.fab(), tmp_path)
    assert {p.stat().st_mode & 0o222 for p in app.path.rglob("*") if p.is_file()} == {0}
