"""What the process pool decides before it starts anything."""

from typing import Any

import pytest

from flwr.core.capacity import AppNeeds
from flwr.core.clock import SystemClock
from flwr.core.ids import RunId
from flwr.simulation.backend import Order, WorkerSetup
from flwr.simulation.pool_backend import PoolBackend
from flwr.simulation.resources import ImpossibleNeedsError


def plan(monkeypatch: pytest.MonkeyPatch, **changed: Any) -> PoolBackend:
    monkeypatch.setattr("flwr.simulation.pool_backend.available_cpus", lambda: 8)
    monkeypatch.setattr("flwr.simulation.pool_backend.available_gpus", lambda: ("3", "5"))
    monkeypatch.setattr("flwr.simulation.pool_backend.available_memory", lambda: 16_000_000_000)
    setup = WorkerSetup(app=b"", run_id=RunId(9), num_partitions=10)
    return PoolBackend(Order(setup=setup, **{"nodes": 100, **changed}), SystemClock())


@pytest.mark.parametrize(
    ("changed", "workers"),
    [
        ({}, 8),
        ({"nodes": 3}, 3),
        ({"needs": AppNeeds(cpus=3)}, 2),
        ({"needs": AppNeeds(gpus=0.5)}, 4),
        ({"needs": AppNeeds(memory=6_000_000_000)}, 2),
        ({"workers": 20}, 20),  # CPUs can be shared
        ({"workers": 20, "needs": AppNeeds(gpus=1)}, 2),  # GPUs cannot
        ({"workers": 1, "needs": AppNeeds(cpus=9)}, 1),
    ],
)
def test_workers_are_what_fits(
    monkeypatch: pytest.MonkeyPatch, changed: dict[str, Any], workers: int
) -> None:
    assert plan(monkeypatch, **changed).plan.workers == workers


@pytest.mark.row("S74")
@pytest.mark.parametrize(
    ("needs", "cause"),
    [
        (AppNeeds(cpus=9), "9 CPUs per ClientApp wanted, this machine has 8 CPUs, 2 GPUs"),
        (AppNeeds(gpus=3), "1 CPU, 3 GPUs per ClientApp wanted, this machine has"),
        (AppNeeds(memory=10**11), "100000 MB per ClientApp wanted, .* 16000 MB"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, needs: AppNeeds, cause: str
) -> None:
    with pytest.raises(ImpossibleNeedsError, match=cause):
        plan(monkeypatch, needs=needs)
