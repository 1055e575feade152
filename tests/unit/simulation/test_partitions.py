import pytest

from flwr.core.errors import InvalidError
from flwr.simulation.partitions import VirtualNodes, node_config


def test_ids_depend_on_the_partition_alone() -> None:
    assert VirtualNodes(5).ids == VirtualNodes(500).ids[:5]


def test_a_hundred_thousand_nodes_have_different_valid_ids() -> None:
    nodes = VirtualNodes(100_000)
    assert len(set(nodes.ids)) == len(nodes) == 100_000
    assert all(1 < node_id < 2**64 for node_id in nodes.ids)
    assert [nodes.partition_of(node_id) for node_id in nodes.ids] == list(range(100_000))
    assert all(node_id in nodes for node_id in nodes.ids)


def test_other_numbers_are_no_nodes() -> None:
    nodes, others = VirtualNodes(100), VirtualNodes(200).ids[100:]
    assert not any(node_id in nodes for node_id in (*others, *range(-5, 1000), 2**64, 2**70))
    assert "1" not in nodes


@pytest.mark.long
def test_no_node_of_any_simulation_has_a_reserved_id() -> None:
    assert min(VirtualNodes(10_000_000).ids) > 1


def test_the_config_holds_integers() -> None:
    assert node_config(3, 10) == {"partition-id": 3, "num-partitions": 10}


@pytest.mark.parametrize("count", [0, -1, 10_000_001])
def test_an_impossible_number_is_refused(count: int) -> None:
    with pytest.raises(InvalidError, match="impossible"):
        VirtualNodes(count)
