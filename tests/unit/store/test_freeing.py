"""Large files that are removed: gone at once, their space off the way of who removes them."""

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


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def freeing(clock: Clock) -> Iterator[Freeing]:
    made = Freeing(clock, most_files=100)
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


@pytest.fixture
def let_go(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Have the thread wait with each file until this is set."""
    may_go_on, close = threading.Event(), os.close

    def slowly(descriptor: int) -> None:
        if threading.current_thread().name == "freeing":
            may_go_on.wait(30)
        close(descriptor)

    monkeypatch.setattr("flwr.store.freeing.os.close", slowly)
    yield may_go_on
    may_go_on.set()


def test_a_large_file_is_gone_at_once_and_freed_without_another_event(
    freeing: Freeing, large: Path
) -> None:
    remove(freeing, large)
    assert not large.exists()
    assert soon(lambda: not held())


def test_who_removes_does_not_wait_for_who_frees(
    large: Path, let_go: threading.Event, freeing: Freeing
) -> None:
    for _ in range(3):
        remove(freeing, large)
    assert len(held()) == 3
    let_go.set()
    assert soon(lambda: not held())


def test_more_files_than_descriptors_are_freed_where_they_are_removed(
    large: Path, let_go: threading.Event
) -> None:
    freeing = Freeing(most_files=1)
    remove(freeing, large)
    assert soon(lambda: not freeing._removed), "the thread is at work on it"
    for _ in range(3):
        remove(freeing, large)
    assert len(held()) == 2
    let_go.set()
    freeing.close()
    assert not held()


def test_a_full_disk_has_all_of_it_at_once(
    large: Path, let_go: threading.Event, freeing: Freeing
) -> None:
    assert not freeing.free_all()
    remove(freeing, large)
    assert soon(lambda: not freeing._removed), "the thread is at work on it"
    remove(freeing, large)
    remove(freeing, large)
    assert freeing.free_all()
    assert len(held()) == 1
    let_go.set()


def test_what_was_removed_is_free_when_it_is_closed(large: Path, let_go: threading.Event) -> None:
    freeing = Freeing(most_files=100)
    for _ in range(3):
        remove(freeing, large)
    let_go.set()
    freeing.close()
    assert not held()
    remove(freeing, large)
    assert not held(), "nobody is there to free it later"


@pytest.mark.parametrize("size", [0, SLOW - 1])
def test_a_small_file_is_freed_where_it_is_removed(
    freeing: Freeing, large: Path, size: int
) -> None:
    remove(freeing, large, size)
    assert not held()


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


def test_a_machine_says_how_many_descriptors_are_spare() -> None:
    assert module._spare_descriptors() > 0


def test_memory_is_given_back_when_much_has_come_and_nothing_follows(clock: Clock) -> None:
    given = threading.Event()
    freeing = Freeing(clock, most_files=100, give_back=given.set)
    freeing.note_begun(LARGE // 2)
    freeing.note_begun(LARGE - LARGE // 2)
    assert not freeing._is_calm(), "more may come"
    clock.now += module._CALM_S
    assert given.wait(30)
    freeing.close()


def test_memory_is_kept_while_more_comes_and_after_little(clock: Clock) -> None:
    given: list[float] = []
    freeing = Freeing(clock, most_files=100, give_back=lambda: given.append(clock.now))
    freeing.note_begun(LARGE - 1)
    clock.now += module._CALM_S
    assert soon(lambda: not freeing._came), "it has been calm, after too little"
    for _ in range(3):
        freeing.note_begun(LARGE)
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
