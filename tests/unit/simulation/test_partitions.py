import pytest

from flwr.core.errors import InvalidError
from flwr.simulation.partitions import VirtualNodes, node_config


def test_ids_depend_on_the_partition_alone() -> None:
    assert VirtualNodes(5).ids == VirtualNodes(500).ids[:5]


def test_a_hundred_thousand_nodes_have_different_valid_ids() -> None:
    nodes = VirtualNodes(100_000)
    assert len(set(nodes.ids)) == len(nodes) == 100_000
    assert all(1 < node_id < 2**64 for node_id in nodes.ids)
    assert nodes.partition_of(nodes.ids[4711]) == 4711
    assert 1 not in nodes


def test_the_config_holds_integers() -> None:
    assert node_config(3, 10) == {"partition-id": 3, "num-partitions": 10}


@pytest.mark.parametrize("count", [0, -1, 10_000_001])
def test_an_impossible_number_is_refused(count: int) -> None:
    with pytest.raises(InvalidError, match="impossible"):
        VirtualNodes(count)
