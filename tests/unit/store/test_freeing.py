"""Large files that are removed: gone at once, their space a little later."""

import threading
from pathlib import Path

import pytest

from flwr.store import freeing
from flwr.store.freeing import Freeing

SLOW = freeing._SLOW_TO_FREE


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


@pytest.fixture
def large(tmp_path: Path) -> Path:
    path = tmp_path / "large"
    path.write_bytes(bytes(SLOW))
    return path


def test_a_large_file_is_gone_at_once_and_freed_by_a_thread(large: Path) -> None:
    freeing, may_go_on = Freeing(), threading.Event()
    freeing._thread.submit(may_go_on.wait)

    with freeing.later(large, SLOW):
        large.unlink()

    assert not large.exists()
    assert held() == [f"{large} (deleted)"]
    may_go_on.set()
    freeing.close()
    assert not held()


@pytest.mark.parametrize("size", [0, SLOW - 1])
def test_a_small_file_is_freed_where_it_is_removed(large: Path, size: int) -> None:
    freeing, may_go_on = Freeing(), threading.Event()
    freeing._thread.submit(may_go_on.wait)

    with freeing.later(large, size):
        large.unlink()

    assert not held()
    may_go_on.set()
    freeing.close()


def test_not_more_than_some_are_held(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flwr.store.freeing._MOST_HELD", 1)
    freeing, may_go_on = Freeing(), threading.Event()
    freeing._thread.submit(may_go_on.wait)

    for _ in range(3):
        large.write_bytes(bytes(SLOW))
        with freeing.later(large, SLOW):
            large.unlink()

    assert len(held()) == 1
    may_go_on.set()
    freeing.close()
    assert not held()


def test_a_file_that_stays_or_is_gone_is_not_held(large: Path) -> None:
    freeing = Freeing()

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
