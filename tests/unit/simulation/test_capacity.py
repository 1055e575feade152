import math

import pytest

from flwr.core.capacity import AppNeeds, Machine
from flwr.core.errors import InvalidError
from flwr.simulation.capacity import plan_workers, share_out
from flwr.simulation.ray_worker import actor_options
from flwr.simulation.resources import ImpossibleNeedsError

SMALL = Machine(cpus=4, gpus=0, memory=8e9)
LARGE = Machine(cpus=16, gpus=2, memory=64e9)


@pytest.mark.row("S74")
@pytest.mark.parametrize(
    ("needs", "small", "large"),
    [
        (AppNeeds(), 4, 16),
        (AppNeeds(cpus=3), 1, 5),
        (AppNeeds(cpus=0.1), 40, 160),
        (AppNeeds(gpus=1), 0, 2),
        (AppNeeds(cpus=0.5, gpus=0.25), 0, 8),
        (AppNeeds(gpus=0.4), 0, 4),  # two on each, a fifth would span both
        (AppNeeds(gpus=2), 0, 1),
        (AppNeeds(memory=3_000_000_000), 2, 16),
    ],
)
def test_what_is_scarcest_says_how_many_fit(needs: AppNeeds, small: int, large: int) -> None:
    assert (SMALL.room_for(needs), LARGE.room_for(needs)) == (small, large)


def test_machines_add_up_and_do_not_share() -> None:
    assert plan_workers(AppNeeds(cpus=3), [SMALL, LARGE], nodes=100, wanted=None) == 6


@pytest.mark.parametrize(
    ("nodes", "wanted", "workers"), [(100, None, 20), (7, None, 7), (100, 3, 3), (100, 99, 20)]
)
def test_there_are_no_more_workers_than_nodes_or_wanted(
    nodes: int, wanted: int | None, workers: int
) -> None:
    planned = plan_workers(AppNeeds(), [SMALL, LARGE], nodes=nodes, wanted=wanted)
    assert planned == workers


@pytest.mark.row("S74")
@pytest.mark.parametrize(
    ("needs", "cause"),
    [
        (AppNeeds(cpus=17), "17 CPUs per ClientApp .* largest of 2 machines has 16 CPUs, 2 GPU"),
        (AppNeeds(gpus=3), "1 CPU, 3 GPUs per ClientApp wanted"),
        (AppNeeds(memory=10**11), "100000 MB per ClientApp .* 64000 MB"),
    ],
)
def test_an_impossible_request_is_refused_with_the_numbers(needs: AppNeeds, cause: str) -> None:
    with pytest.raises(ImpossibleNeedsError, match=cause):
        plan_workers(needs, [SMALL, LARGE], nodes=10, wanted=None)


def test_a_cluster_without_machines_is_said_to_be_one() -> None:
    with pytest.raises(ImpossibleNeedsError, match="no machine"):
        plan_workers(AppNeeds(), [], nodes=10, wanted=None)


def test_one_gpu_and_a_half_are_refused() -> None:
    with pytest.raises(InvalidError, match="only one GPU is shared out"):
        plan_workers(AppNeeds(gpus=1.5), [LARGE], nodes=10, wanted=None)


def test_no_workers_are_refused() -> None:
    with pytest.raises(InvalidError, match="0 workers wanted"):
        plan_workers(AppNeeds(), [LARGE], nodes=10, wanted=0)


def test_ray_is_asked_for_what_was_said_only() -> None:
    assert actor_options(AppNeeds(cpus=2)) == {"num_cpus": 2, "num_gpus": 0}
    assert actor_options(AppNeeds(memory=7))["memory"] == 7


def test_a_machine_is_read_as_ray_describes_it() -> None:
    said = {"CPU": 2.0, "memory": 5e9, "node:127.0.0.1": 1.0}
    assert Machine.from_resources(said) == Machine(cpus=2, gpus=0, memory=5e9)
    assert str(Machine(cpus=2, memory=math.inf)) == "2 CPUs, 0 GPUs"


def test_a_machine_without_a_known_end_has_room_for_any_number() -> None:
    assert Machine(cpus=2).room_for(AppNeeds(memory=10**12)) == 2


@pytest.mark.row("S74")
@pytest.mark.parametrize(
    ("each", "workers", "shares"),
    [
        (0, 2, [(), ()]),
        (1, 2, [("a",), ("b",)]),
        (2, 2, [("a", "b"), ("c", "d")]),
        (0.5, 3, [("a",), ("a",), ("b",)]),
        (0.3, 4, [("a",), ("a",), ("a",), ("b",)]),
    ],
)
def test_gpus_are_shared_out(each: float, workers: int, shares: list[tuple[str, ...]]) -> None:
    assert share_out("abcd", each, workers) == shares
