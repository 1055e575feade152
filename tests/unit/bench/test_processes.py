"""Process trees, their CPU time and their memory."""

import os

from tests.bench import processes
from tests.bench.processes import Stat


def test_a_stat_line_is_read_whatever_the_program_is_called() -> None:
    times = "10 20 30 40"
    text = f"7 (a) b (c) S 3 1 1 0 -1 0 0 0 0 0 {times} 20 0 1 0 99"
    assert processes.read_stat(text) == Stat(3, "S", 100 / processes.TICKS_PER_S)


def test_a_tree_holds_all_that_is_below_its_root() -> None:
    table = {1: Stat(0, "S", 1.0), 5: Stat(1, "S", 2.0), 6: Stat(5, "Z", 4.0), 9: Stat(0, "S", 8.0)}
    assert processes.tree(1, table) == [1, 5, 6]
    assert processes.tree(77, table) == []
    assert processes.tree_cpu_s([1, 77], table) == 7.0, "a zombie's time is in no other sum yet"


def test_this_process_has_memory_and_is_below_its_parent() -> None:
    assert os.getpid() in processes.tree(os.getppid(), processes.scan())
    # The peak is brought up to date now and then, so it may lag behind a little.
    assert 1 < processes.pss_mb(os.getpid()) <= processes.high_water_mb(os.getpid()) + 20


def test_a_process_that_is_gone_weighs_nothing() -> None:
    gone = 2**22 + 1
    assert processes.pss_mb(gone) == processes.high_water_mb(gone) == 0.0
    assert not processes.command_of(gone)
