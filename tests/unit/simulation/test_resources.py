from typing import Any

import pytest

from flwr.core.errors import FlwrError, InvalidError
from flwr.shell.cpus import available_cpus
from flwr.simulation.resources import (
    ClientNeeds,
    ImpossibleNeedsError,
    plan_workers,
    read_needs,
)


@pytest.mark.parametrize(
    ("cpus_each", "nodes", "wanted", "workers"),
    [
        (1, 100, None, 8),
        (2, 100, None, 4),
        (3, 100, None, 2),
        (0.5, 100, None, 16),
        (1, 3, None, 3),  # no more than nodes
        (1, 100, 20, 20),
        (1, 3, 20, 3),
        (9, 100, 1, 1),  # somebody's decision
    ],
)
def test_workers_are_what_fits(
    cpus_each: float, nodes: int, wanted: int | None, workers: int
) -> None:
    needs = ClientNeeds(cpus=cpus_each)
    assert plan_workers(needs, nodes=nodes, cpus=8, wanted=wanted) == workers


@pytest.mark.row("S74")
def test_an_impossible_request_is_refused_with_the_numbers() -> None:
    with pytest.raises(ImpossibleNeedsError, match=r"9 CPUs per ClientApp .* this machine has 8"):
        plan_workers(ClientNeeds(cpus=9), nodes=10, cpus=8)
    with pytest.raises(ImpossibleNeedsError, match=r"0\.5 GPUs"):
        plan_workers(ClientNeeds(gpus=0.5), nodes=10, cpus=8)


def test_dashes_and_underscores_mean_the_same() -> None:
    expected = ClientNeeds(cpus=2, gpus=0)
    assert read_needs({"num-cpus": 2}) == read_needs({"num_cpus": 2, "num_gpus": 0}) == expected
    assert read_needs({}) == ClientNeeds()
    assert read_needs({"memory": 5e8, "num-gpus": 0.5}) == ClientNeeds(gpus=0.5, memory=500_000_000)


@pytest.mark.parametrize(
    "resources",
    [{"disk": 5}, {"memory": -1}, {"num_cpus": 0}, {"num_gpus": -1}, {"num_cpus": "many"}],
)
def test_other_resources_are_refused(resources: dict[str, Any]) -> None:
    with pytest.raises(InvalidError, match=r"client resource"):
        read_needs(resources)


def test_this_machine_has_a_cpu() -> None:
    assert available_cpus() >= 1


def test_no_workers_are_refused() -> None:
    with pytest.raises(FlwrError, match="0 workers"):
        plan_workers(ClientNeeds(), nodes=1, cpus=1, wanted=0)
