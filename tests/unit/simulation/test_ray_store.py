import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from flwr.simulation.ray_store import store_size


@pytest.mark.parametrize(("free", "size"), [(1_000_000_000, 900_000_000), (64_000_000, 80_000_000)])
def test_the_store_fits_into_shared_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, free: int, size: int
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    monkeypatch.setattr("os.sysconf", lambda _: 2**20)  # a terabyte
    assert store_size(tmp_path) == size


def test_it_takes_a_third_of_memory_at_most(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2**60))
    monkeypatch.setattr("flwr.simulation.ray_store.memory_limit", lambda: 10**9)
    assert store_size(tmp_path) == 300_000_000
