from hypothesis import given
from hypothesis import strategies as st

from flwr.core.ids import ObjectId
from flwr.core.message import ObjectTree
from flwr.store.trees import pack_tree, unpack_tree

IDS = st.binary(min_size=32, max_size=32).map(lambda digest: ObjectId(digest.hex()))
TREES = st.recursive(
    IDS.map(ObjectTree),
    lambda inner: st.builds(ObjectTree, IDS, st.lists(inner, max_size=4).map(tuple)),
    max_leaves=30,
)


@given(TREES)
def test_a_packed_tree_comes_back_with_its_order(tree: ObjectTree) -> None:
    assert unpack_tree(pack_tree(tree)) == tree


def test_a_node_takes_36_bytes() -> None:
    leaf = ObjectTree(ObjectId("ab" * 32))
    assert len(pack_tree(ObjectTree(ObjectId("cd" * 32), (leaf, leaf)))) == 3 * 36
