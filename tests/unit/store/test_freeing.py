"""Large files that are removed: gone at once, their space when somebody can use it, or later."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flwr.core.allocator import give_back, share_arenas
from flwr.store import freeing as module
from flwr.store.freeing import Freeing

SLOW = module._SLOW_TO_FREE
MUCH = 1_000 * SLOW
LARGE = module._MUCH


class Clock:
    """Stands still."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


def held() -> list[str]:
    """Return the removed files that this process has open."""
    found: list[str] = []
    for link in Path("/proc/self/fd").iterdir():
        try:
            target = str(link.readlink())
        except FileNotFoundError:  # of the listing itself
            continue
        found += [target] if target.endswith("large (deleted)") else []
    return found


def soon(happened: Callable[[], bool]) -> bool:
    until = time.monotonic() + 30
    while not happened() and time.monotonic() < until:
        time.sleep(0.005)
    return happened()


def never() -> bool:
    """Stand in for a machine on which little waits to be written, whatever other tests write."""
    return False


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def freeing(clock: Clock) -> Iterator[Freeing]:
    made = Freeing(clock, most_bytes=MUCH, most_files=100, is_writing_near=never)
    yield made
    made.close()
    assert not held()


@pytest.fixture
def large(tmp_path: Path) -> Path:
    return tmp_path / "large"


def remove(freeing: Freeing, large: Path, size: int = SLOW) -> None:
    large.write_bytes(bytes(SLOW))
    with freeing.later(large, size):
        large.unlink()


def test_a_large_file_is_gone_at_once_and_its_space_is_kept(freeing: Freeing, large: Path) -> None:
    remove(freeing, large)
    assert not large.exists()
    assert held() == [f"{large} (deleted)"]
    freeing.close()
    assert not held()


@pytest.mark.parametrize("size", [0, SLOW - 1])
def test_a_small_file_is_freed_where_it_is_removed(
    freeing: Freeing, large: Path, size: int
) -> None:
    remove(freeing, large, size)
    assert not held()


def test_as_much_is_freed_as_is_written(freeing: Freeing, large: Path) -> None:
    for _ in range(4):
        remove(freeing, large)
    freeing.make_room(SLOW - 1)
    freeing.make_room(2 * SLOW)
    assert soon(lambda: len(held()) == 2)
    freeing.make_room(10 * SLOW)
    assert soon(lambda: not held())
    remove(freeing, large)
    assert len(held()) == 1, "what was wanted before there was something is over"


def test_nothing_is_kept_for_long(freeing: Freeing, large: Path, clock: Clock) -> None:
    remove(freeing, large)
    clock.now += module._HELD_S
    remove(freeing, large)
    assert soon(lambda: len(held()) == 1)


def test_a_file_is_freed_when_its_time_is_over_without_another_event(
    large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_HELD_S", 0.05)
    real = Freeing(most_bytes=MUCH, most_files=100, is_writing_near=never)
    remove(real, large)
    assert soon(lambda: not held())
    real.close()


def test_not_more_bytes_are_kept_than_allowed(clock: Clock, large: Path) -> None:
    freeing = Freeing(clock, most_bytes=2 * SLOW, most_files=100, is_writing_near=never)
    for _ in range(5):
        remove(freeing, large)
    assert soon(lambda: len(held()) == 2)
    freeing.close()


def test_not_more_files_are_kept_than_allowed(clock: Clock, large: Path) -> None:
    freeing = Freeing(clock, most_bytes=MUCH, most_files=1, is_writing_near=never)
    for _ in range(3):
        remove(freeing, large)
    assert len(held()) == 1
    freeing.close()


def test_nothing_is_kept_when_the_kernel_would_write_it_to_the_disk(
    clock: Clock, large: Path
) -> None:
    near = [True]
    freeing = Freeing(clock, most_bytes=MUCH, most_files=100, is_writing_near=lambda: near[-1])
    remove(freeing, large)
    assert soon(lambda: not held())
    near.append(False)
    remove(freeing, large)
    remove(freeing, large)
    assert len(held()) == 2
    near.append(True)
    remove(freeing, large)
    assert soon(lambda: not held())
    freeing.close()


def test_a_full_disk_has_all_of_it_at_once(freeing: Freeing, large: Path) -> None:
    assert not freeing.free_all()
    remove(freeing, large)
    remove(freeing, large)
    assert freeing.free_all()
    assert not held()


def test_who_removes_does_not_wait_for_who_frees(
    freeing: Freeing, large: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_go_on, close = threading.Event(), os.close

    def slowly(descriptor: int) -> None:
        may_go_on.wait(30)
        close(descriptor)

    monkeypatch.setattr("flwr.store.freeing.os.close", slowly)
    remove(freeing, large)
    freeing.make_room(SLOW)
    remove(freeing, large)
    assert len(held()) == 2
    may_go_on.set()


def test_a_file_that_stays_or_is_gone_is_not_held(freeing: Freeing, large: Path) -> None:
    large.write_bytes(bytes(SLOW))

    def resist() -> None:
        raise PermissionError(large)

    with pytest.raises(PermissionError), freeing.later(large, SLOW):
        resist()
    with freeing.later(large.with_name("gone"), SLOW):
        pass
    freeing.close()
    assert large.exists()
    assert not [
        link for link in Path("/proc/self/fd").iterdir() if link.exists() and link.samefile(large)
    ]


def test_a_machine_says_how_much_is_kept() -> None:
    assert 0 < module._spare_bytes() <= module._MOST_BYTES
    assert module._spare_descriptors() > 0


def test_memory_is_given_back_when_much_has_come_and_nothing_follows(clock: Clock) -> None:
    given = threading.Event()
    freeing = Freeing(clock, most_bytes=MUCH, most_files=100, give_back=given.set)
    freeing.make_room(LARGE // 2)
    freeing.make_room(LARGE - LARGE // 2)
    assert not freeing._is_calm(), "more may come"
    clock.now += module._CALM_S
    assert given.wait(30)
    freeing.close()


def test_memory_is_kept_while_more_comes_and_after_little(clock: Clock) -> None:
    given: list[float] = []
    freeing = Freeing(
        clock, most_bytes=MUCH, most_files=100, give_back=lambda: given.append(clock.now)
    )
    freeing.make_room(LARGE - 1)
    clock.now += module._CALM_S
    assert soon(lambda: not freeing._came), "it has been calm, after too little"
    for _ in range(3):
        freeing.make_room(LARGE)
        clock.now += 0.9 * module._CALM_S
    freeing.close()
    assert not given


def test_this_process_can_give_memory_back() -> None:
    def in_use() -> int:
        (line,) = [
            line
            for line in Path("/proc/self/smaps_rollup").read_text().splitlines()
            if line.startswith("Anonymous:")
        ]
        return int(line.split()[1]) * 1024

    share_arenas()
    pieces = [bytes([number]) * SLOW for number in range(1, 13)]
    before = in_use()
    del pieces
    give_back()
    assert before - in_use() > 11 * SLOW
