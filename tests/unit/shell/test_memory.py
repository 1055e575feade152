from pathlib import Path

import pytest

from flwr.shell.memory import (
    go_first_for_memory,
    is_memory_short,
    memory_limit,
)


def cgroup(folder: Path, limit: str, used: int, reclaimable: int = 0) -> Path:
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 5\ninactive_file {reclaimable}\n")
    return folder


@pytest.mark.parametrize(
    ("limit", "used", "reclaimable", "short"),
    [("100", 51, 0, True), ("100", 50, 0, False), ("100", 90, 60, False), ("max", 10**9, 0, False)],
)
def test_memory_is_short_when_half_of_the_limit_is_really_used(
    tmp_path: Path, limit: str, used: int, reclaimable: int, *, short: bool
) -> None:
    assert is_memory_short(cgroup(tmp_path, limit, used, reclaimable)) is short


def test_without_a_control_group_there_is_no_limit(tmp_path: Path) -> None:
    assert memory_limit([tmp_path]) is None
    assert not is_memory_short(tmp_path)


def test_the_limit_is_read(tmp_path: Path) -> None:
    assert memory_limit([cgroup(tmp_path, "2147483648", 0)]) == 2**31


def test_the_lowest_limit_of_all_groups_counts_and_no_limit_does_not(tmp_path: Path) -> None:
    limits = {"service": "500", "slice": "400", "root": "9223372036854771712"}  # of version 1
    for name, limit in limits.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "memory.limit_in_bytes").write_text(limit)
    groups = [tmp_path / name for name in limits]
    assert memory_limit(groups) == 400
    assert memory_limit(groups[2:]) is None


def test_a_process_may_have_itself_ended_before_all_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    score = tmp_path / "oom_score_adj"
    monkeypatch.setattr("flwr.shell.memory._OOM_SCORE", score)
    go_first_for_memory()
    assert score.read_text() == "1000"
    monkeypatch.setattr("flwr.shell.memory._OOM_SCORE", tmp_path / "no" / "such" / "file")
    go_first_for_memory()
