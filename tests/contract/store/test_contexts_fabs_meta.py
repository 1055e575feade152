import pytest

from flwr.core.errors import InvalidError
from flwr.core.ids import FabHash, NodeId, RunId
from flwr.core.run import RunStatus, advance
from flwr.store.fabs import Fab
from flwr.store.store import Store
from tests import given


def test_a_context_is_kept_per_run_and_node(store: Store) -> None:
    with store.transaction() as tx:
        tx.contexts.save(RunId(1), NodeId(2), b"old")
        tx.contexts.save(RunId(1), NodeId(2), b"new")
        tx.contexts.save(RunId(2), NodeId(2), b"other")
        assert tx.contexts.find(RunId(1), NodeId(2)) == b"new"
        assert tx.contexts.find(RunId(1), NodeId(3)) is None
        tx.contexts.delete_run(RunId(1))
        assert tx.contexts.find(RunId(1), NodeId(2)) is None
        assert tx.contexts.find(RunId(2), NodeId(2)) == b"other"


def test_a_fab_is_stored_under_its_whole_hash(store: Store) -> None:
    content = b"PK fab"
    fab_hash = FabHash(given.object_id(content))
    with store.transaction() as tx:
        tx.fabs.put(fab_hash, content, {"signer": "x"})
        tx.fabs.put(fab_hash, content, {"signer": "y"})
        assert tx.fabs.find(fab_hash) == Fab(fab_hash, content, {"signer": "y"})
        assert tx.fabs.find(FabHash("0" * 64)) is None
        with pytest.raises(InvalidError):
            tx.fabs.put(FabHash("0" * 64), content)


def test_a_fab_lives_while_an_unfinished_run_needs_it(store: Store) -> None:
    needed, unneeded = (FabHash(given.object_id(content)) for content in (b"needed", b"unneeded"))
    over = advance(given.run(fab_hash=unneeded), RunStatus.STOPPED, at=given.NOW)
    with store.transaction() as tx:
        tx.fabs.put(needed, b"needed", {})
        tx.fabs.put(unneeded, b"unneeded", {})
        tx.runs.add(given.run(fab_hash=needed))
        tx.runs.add(over)
        assert tx.fabs.unused() == [unneeded]
        assert tx.fabs.delete_unused() == [unneeded]
        assert tx.fabs.unused() == []
        assert tx.fabs.find(needed) is not None


def test_a_fact_is_kept_until_it_is_replaced(store: Store) -> None:
    with store.transaction() as tx:
        assert tx.meta.get("node") is None
        tx.meta.set("node", "1")
        tx.meta.set("node", "2")
        assert tx.meta.get("node") == "2"
