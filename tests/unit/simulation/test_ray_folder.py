import os
from pathlib import Path

from flwr.simulation.ray_folder import new_folder


def test_the_folder_is_private_and_goes_with_the_run(tmp_path: Path) -> None:
    with new_folder(tmp_path) as folder:
        (folder / "log").write_text("much")
        assert folder.stat().st_mode & 0o777 == 0o700
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_run_left_is_removed_and_what_another_uses_is_not(tmp_path: Path) -> None:
    left, strange = tmp_path / "flwr-ray-left", tmp_path / "flwr-other"
    for folder in (left, strange):
        folder.mkdir()
        (folder / "log").write_text("much")
        os.utime(folder, (0, 0))
    with new_folder(tmp_path) as used:
        os.utime(used, (0, 0))
        with new_folder(tmp_path) as mine:
            assert {*tmp_path.iterdir()} == {strange, used, mine}
    assert {*tmp_path.iterdir()} == {strange}
