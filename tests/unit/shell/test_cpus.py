import os
import sys
from pathlib import Path

import pytest

from flwr.shell.control_groups import own_groups
from flwr.shell.cpus import available_cpus, fork_here


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(16)))


def group(folder: Path, **files: str) -> Path:
    folder.mkdir()
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(f"{text}\n")
    return folder


@pytest.mark.usefixtures("many")
def test_the_smallest_quota_of_all_groups_counts(tmp_path: Path) -> None:
    groups = [
        group(tmp_path / "v2", cpu__max="350000 100000"),
        group(tmp_path / "no-limit", cpu__max="max 100000"),
        group(tmp_path / "v1", cpu__cfs_quota_us="250000", cpu__cfs_period_us="100000"),
        group(tmp_path / "v1-no-limit", cpu__cfs_quota_us="-1", cpu__cfs_period_us="100000"),
    ]
    assert available_cpus(groups) == 3  # two and a half
    assert available_cpus(groups[:2]) == 4
    assert available_cpus(groups[3:]) == 16


@pytest.mark.usefixtures("many")
def test_a_part_of_one_cpu_is_one(tmp_path: Path) -> None:
    assert available_cpus([group(tmp_path / "v2", cpu__max="20000 100000")]) == 1


@pytest.mark.parametrize(
    ("membership", "groups"),
    [
        ("0::/app.slice/x.service\n", ["app.slice/x.service", "app.slice", "."]),
        ("4:cpuset:/\n3:cpu,cpuacct:/docker/1\n", ["cpu/docker/1", "cpu/docker", "cpu"]),
        ("0::/\n3:cpu:/elsewhere\n", [".", "cpu"]),  # a container that sees its own part alone
        ("0::/../outside\n", ["."]),
    ],
)
def test_our_groups_are_found_innermost_first(
    tmp_path: Path, membership: str, groups: list[str]
) -> None:
    for name in groups:
        (tmp_path / "mount" / name).mkdir(parents=True, exist_ok=True)
    (tmp_path / "membership").write_text(membership)
    found = list(own_groups("cpu", tmp_path / "mount", tmp_path / "membership"))
    wanted = [tmp_path / "mount" / name for name in groups]
    assert [one for one in found if one in wanted] == wanted


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's part is Linux'")
def test_a_fork_may_go_where_its_maker_may() -> None:
    allowed = os.sched_getaffinity(0)
    if (pid := fork_here()) == 0:
        os._exit(int(os.sched_getaffinity(0) != allowed))
    assert os.sched_getaffinity(0) == allowed
    assert os.waitpid(pid, 0)[1] == 0


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's part is Linux'")
def test_a_fork_begins_where_its_maker_is(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def refuse() -> int:
        seen.append(os.sched_getaffinity(0))
        raise OSError("no room for another process")

    allowed = os.sched_getaffinity(0)
    monkeypatch.setattr("os.fork", refuse)
    with pytest.raises(OSError, match="no room"):
        fork_here()
    assert os.sched_getaffinity(0) == allowed
    assert len(seen[0]) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's part is Linux'")
def test_a_fork_begins_anywhere_if_its_makers_cpu_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_pid: int, _cpus: set[int]) -> None:
        raise OSError("no such CPU")

    monkeypatch.setattr("os.sched_setaffinity", refuse)
    if (pid := fork_here()) == 0:
        os._exit(0)
    assert os.waitpid(pid, 0)[1] == 0
