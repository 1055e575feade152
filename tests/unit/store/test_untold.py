"""What nobody was told yet is told once, in order, and not before its commit is durable."""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from flwr.store.untold import Untold


@pytest.fixture
def eager_threads() -> Iterator[None]:
    """Let threads take turns after every few bytecodes."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(usual)


def topics(*names: str) -> frozenset[str]:
    return frozenset(names)


def test_topics_are_taken_up_to_a_commit_and_once() -> None:
    untold = Untold()
    assert not untold
    for commit in (3, 4, 7):
        untold.add(commit, topics(f"c{commit}"))
    assert (untold.has(2), untold.has(3)) == (False, True)
    assert untold.take(4) == [topics("c3"), topics("c4")]
    assert untold.take(6) == []
    assert (untold.has(6), untold.has(7), bool(untold)) == (False, True, True)
    assert untold.take(9) == [topics("c7")]
    assert not untold


@pytest.mark.usefixtures("eager_threads")
def test_threads_that_take_at_the_same_time_get_nothing_early_and_nothing_twice() -> None:
    untold = Untold()
    for commit in range(4000):
        untold.add(commit, topics(str(commit)))

    def take(thread: int) -> list[int]:
        taken = []
        for until in range(thread, 4000, 4):
            untold.has(until)
            numbers = [int(name) for names in untold.take(until) for name in names]
            assert all(number <= until for number in numbers)
            taken += numbers
        return taken

    with ThreadPoolExecutor(4) as threads:
        taken = [number for some in threads.map(take, range(4)) for number in some]
    assert sorted(taken) == list(range(4000))
