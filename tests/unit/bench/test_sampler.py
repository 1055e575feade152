"""What samples add up to."""

import os
import time
from collections.abc import Sequence
from pathlib import Path

from tests.bench.sampler import Peaks, Root, Sampler, Weights, disk_bytes, lo_bytes, role_of

TABLE = """Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets
    lo: 123456     9    0    0    0     0          0         0   123456      9
  eth0:    777     1    0    0    0     0          0         0      888      2
"""


class Counting:
    """A meter that grows by one second at each look."""

    method = "by looks"

    def __init__(self) -> None:
        self.looks = 0

    def argv(self, group: str, command: Sequence[str]) -> list[str]:
        return list(command)

    def follow(self, group: str, pid: int) -> None: ...

    def read(self) -> dict[str, float]:
        self.looks += 1
        return {"server": self.looks * 0.25, "sites": self.looks * 0.75}

    def close(self) -> None: ...


def test_bytes_are_those_of_loopback() -> None:
    assert lo_bytes(TABLE) == 123456
    assert lo_bytes("") == 0


def test_bytes_for_disks_are_those_that_were_written_not_those_that_wait() -> None:
    page = os.sysconf("SC_PAGE_SIZE")
    assert disk_bytes("nr_dirty 7\nnr_dirtied 90\nnr_written 80\nnr_written_soon 5\n") == 80 * page
    assert disk_bytes("") == 0
    assert disk_bytes(Path("/proc/vmstat").read_text()) > 0


def test_a_process_plays_a_part_by_its_place_and_its_command() -> None:
    link, node = Root(10, "superlink", 0), Root(20, "supernode", 1)
    assert role_of(link, 10, "python flower-superlink") == "superlink"
    assert role_of(link, 11, "python -m flwr.superexec.main") == "executor"
    assert role_of(link, 12, "python -m flwr.runner.serverapp_main") == "serverapp"
    assert role_of(node, 20, "") == "supernode"
    assert role_of(node, 22, "python /opt/flower-superexec") == "executor"
    assert role_of(node, 23, "") == "clientapp"


def test_peaks_are_the_most_of_each_at_any_time() -> None:
    peaks = Peaks()
    peaks.take(Weights({"superlink": 60.0, "clientapp": 30.0}, {0: 60.0, 1: 20.0, 2: 10.0}))
    peaks.take(Weights({"superlink": 50.0, "clientapp": 80.0}, {0: 50.0, 1: 40.0, 2: 40.0}))
    assert peaks.by_role == {"superlink": 60.0, "clientapp": 80.0}
    assert peaks.figures() == {"site_mb": 40.0, "total_mb": 130.0}


def test_what_was_never_seen_is_no_figure() -> None:
    peaks = Peaks()
    assert peaks.figures() == {}
    peaks.take(Weights({"superlink": 60.0}, {0: 60.0}))
    assert peaks.figures() == {"total_mb": 60.0}


def test_counters_are_sampled_all_the_time_and_memory_when_told_to() -> None:
    meter, begin = Counting(), time.monotonic()
    with Sampler(meter, [Root(os.getpid(), "supernode", 1)], lambda: meter.looks > 1) as sampler:
        while not sampler.peaks.looks:
            time.sleep(0.01)
    total = sampler.cpu_s(begin - 1, time.monotonic() + 1)
    assert total == meter.looks - 1
    assert sampler.group_cpu_s(begin - 1, time.monotonic() + 1)["sites"] == total * 0.75
    assert sampler.peaks.by_role["supernode"] > 1
