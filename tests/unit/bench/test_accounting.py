"""Where CPU time can be counted, and how much was used."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.bench import accounting
from tests.bench.accounting import GroupMeter, Hierarchy, ProcMeter, hierarchies

BUSY = "import time\nuntil = time.process_time() + 0.2\nwhile time.process_time() < until: pass"
V1 = "30 25 0:26 / /sys/fs/cgroup/cpuacct rw,relatime - cgroup cgroup rw,cpuacct\n"
V2 = "36 25 0:32 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n"
OTHER = "22 1 254:0 / / rw,relatime - ext4 /dev/vda rw,errors=remount-ro\n"


def test_version_2_is_tried_before_version_1() -> None:
    found = hierarchies(OTHER + V1 + V2, "4:memory:/m\n2:cpu,cpuacct:/a/b\n0::/c\n")
    assert found == [
        Hierarchy(Path("/sys/fs/cgroup/unified/c"), 2),
        Hierarchy(Path("/sys/fs/cgroup/cpuacct/a/b"), 1),
    ]


def test_a_machine_without_control_groups_has_no_hierarchy() -> None:
    assert hierarchies(OTHER, "") == []
    assert hierarchies(V2, "3:cpuset:/\n") == []


def test_cpu_stat_of_version_2() -> None:
    assert accounting.read_usage_s("usage_usec 1500000\nuser_usec 1\n") == 1.5


def test_a_group_adds_up_what_its_file_says(tmp_path: Path) -> None:
    meter = GroupMeter(Hierarchy(tmp_path, 1), "bench")
    argv = meter.argv("sites", ["true"])
    assert argv[-1] == "true"
    assert argv[-2] == str(tmp_path / "bench-sites" / "cgroup.procs")
    usage = tmp_path / "bench-sites" / "cpuacct.usage"
    usage.write_text("2500000000\n")
    assert meter.read() == {"sites": 2.5}
    usage.unlink()
    meter.close()
    assert list(tmp_path.iterdir()) == []


def test_what_joins_a_group_writes_itself_into_it(tmp_path: Path) -> None:
    meter = GroupMeter(Hierarchy(tmp_path, 1), "bench")
    argv = meter.argv("sites", ["echo", "two words"])
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert done.stdout == "two words\n"
    assert (tmp_path / "bench-sites" / "cgroup.procs").read_text() == "0\n"


@pytest.mark.parametrize("kind", ["best", "proc"])
def test_time_of_children_that_have_ended_counts(kind: str) -> None:
    meter = accounting.open_meter() if kind == "best" else ProcMeter()
    try:
        waiting = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {BUSY!r}])\n"
        script = waiting + "print('done', flush=True)\nsys.stdin.read()"
        argv = meter.argv("some", [sys.executable, "-I", "-S", "-c", script])
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            meter.follow("some", process.pid)
            assert process.stdout
            process.stdout.readline()
            used = accounting.total(meter.read())
            assert used > 0.15  # each kind of time of each process loses part of a tick, 0.01 s
    finally:
        meter.close()
