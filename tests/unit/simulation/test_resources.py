from typing import Any

import pytest

from flwr.core.capacity import AppNeeds
from flwr.core.errors import InvalidError
from flwr.shell.cpus import available_cpus
from flwr.simulation.resources import read_needs


def test_dashes_and_underscores_mean_the_same() -> None:
    expected = AppNeeds(cpus=2, gpus=0)
    assert read_needs({"num-cpus": 2}) == read_needs({"num_cpus": 2, "num_gpus": 0}) == expected
    assert read_needs({}) == AppNeeds()
    assert read_needs({"memory": 5e8, "num-gpus": 0.5}) == AppNeeds(gpus=0.5, memory=500_000_000)


@pytest.mark.parametrize(
    "resources",
    [{"disk": 5}, {"memory": -1}, {"num_cpus": 0}, {"num_gpus": -1}, {"num_cpus": "many"}],
)
def test_other_resources_are_refused(resources: dict[str, Any]) -> None:
    with pytest.raises(InvalidError, match=r"client resource"):
        read_needs(resources)


def test_this_machine_has_a_cpu() -> None:
    assert available_cpus() >= 1
