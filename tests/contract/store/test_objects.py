from pathlib import Path

import pytest

from flwr.core import limits
from flwr.core.errors import InvalidError, TooLargeError
from flwr.core.ids import MessageId, NodeId, ObjectId, RunId
from flwr.core.message import Envelope, ObjectTree
from flwr.store.errors import ObjectDamagedError
from flwr.store.objects import ObjectState
from flwr.store.store import Store, Tx
from tests import given
from tests.contract.store.conftest import OpenStore

SMALL, LARGE = b"s" * limits.INLINE_OBJECT_BYTES, b"l" * (limits.INLINE_OBJECT_BYTES + 1)


RUN = RunId(7)


def announce(tx: Tx, *contents: bytes, run_id: RunId = RUN) -> Envelope:
    message = given.instruction(run_id=run_id)
    tx.objects.preregister(run_id, message.message_id, given.tree(message, *contents))
    return message


def files(directory: Path) -> list[Path]:
    return [path for path in directory.rglob("*") if path.is_file() and path.parent != directory]


def test_announcing_names_what_is_missing_children_first(store: Store) -> None:
    leaf, other = ObjectTree(given.object_id(b"leaf")), ObjectTree(given.object_id(b"other"))
    middle = ObjectTree(given.object_id(b"middle"), (leaf, other))
    message = given.instruction()
    root = ObjectId(message.message_id)
    tree = ObjectTree(root, (middle, leaf))
    with store.transaction() as tx:
        wanted = tx.objects.preregister(RunId(7), message.message_id, tree)
        assert wanted == [leaf.object_id, other.object_id, middle.object_id, root]
        tx.objects.put(other.object_id, b"other")
        again = tx.objects.preregister(RunId(7), message.message_id, tree)
        assert again == [leaf.object_id, middle.object_id, root]
        assert tx.objects.missing(message.message_id) == again


@pytest.mark.parametrize("content", [b"", SMALL, LARGE], ids=["empty", "row", "file"])
def test_content_comes_back_as_it_was_stored(
    store: Store,
    payload_dir: Path,
    content: bytes,
) -> None:
    object_id = given.object_id(content)
    with store.transaction() as tx:
        assert not tx.objects.put(object_id, content)  # nobody announced it
        assert tx.objects.state(object_id) is ObjectState.UNKNOWN
        announce(tx, content)
        assert tx.objects.state(object_id) is ObjectState.AWAITED
        assert tx.objects.get(object_id) is None
        assert tx.objects.put(object_id, content)
        assert tx.objects.put(object_id, content)
        assert tx.objects.state(object_id) is ObjectState.PRESENT
    with store.reading() as tx:
        assert tx.objects.get(object_id) == content
    assert len(files(payload_dir)) == (content == LARGE)


@pytest.mark.parametrize("content", [SMALL, LARGE], ids=["row", "file"])
def test_an_object_can_be_stored_without_a_transaction_of_the_caller(
    store: Store,
    payload_dir: Path,
    content: bytes,
) -> None:
    object_id = given.object_id(content)
    assert not store.put_object(object_id, content)
    with store.transaction() as tx:
        announce(tx, content)
    assert store.put_object(object_id, content)
    assert store.put_object(object_id, content)
    with store.reading() as tx:
        assert tx.objects.get(object_id) == content
    assert len(files(payload_dir)) == (content == LARGE)


@pytest.mark.row("F35")
def test_content_with_another_hash_or_too_large_is_refused(
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("flwr.store.incoming.MAX_OBJECT_BYTES", 10)
    with store.transaction() as tx:
        announce(tx, b"right")
        with pytest.raises(InvalidError):
            tx.objects.put(given.object_id(b"right"), b"wrong")
        with pytest.raises(TooLargeError):
            tx.objects.put(given.object_id(b"0" * 11), b"0" * 11)
    with pytest.raises(InvalidError):
        store.put_object(given.object_id(b"right"), b"wrong")


def test_an_object_lives_while_any_message_owns_it(store: Store, payload_dir: Path) -> None:
    object_id = given.object_id(LARGE)
    with store.transaction() as tx:
        first, second = announce(tx, LARGE), announce(tx, LARGE)
        tx.objects.put(object_id, LARGE)
        tx.objects.release(first.message_id)
        assert tx.objects.get(object_id) == LARGE
    with store.transaction() as tx:
        tx.objects.release(second.message_id)
        assert tx.objects.state(object_id) is ObjectState.UNKNOWN
        assert len(files(payload_dir)) == 1  # the file goes only after the commit
    assert files(payload_dir) == []


def test_the_objects_of_a_run_go_unless_another_run_needs_them(store: Store) -> None:
    with store.transaction() as tx:
        announce(tx, b"mine", b"ours", run_id=RunId(1))
        announce(tx, b"ours", run_id=RunId(2**64 - 1))
        tx.objects.release_run(RunId(1))
        assert tx.objects.state(given.object_id(b"mine")) is ObjectState.UNKNOWN
        assert tx.objects.state(given.object_id(b"ours")) is ObjectState.AWAITED


@pytest.mark.row("F23")
def test_an_object_belongs_to_its_run_and_to_the_nodes_of_its_messages(store: Store) -> None:
    with store.transaction() as tx:
        asked = given.instruction(run_id=RunId(1), dst_node_id=NodeId(11))
        tree = given.tree(asked, b"model")
        tx.objects.preregister(asked.run_id, asked.message_id, tree)
        tx.messages.add_instruction(asked, tree, now=given.NOW, expires_at=given.NOW)
        told = given.reply(asked)
        tx.objects.preregister(told.run_id, told.message_id, given.tree(told, b"update"))
        tx.messages.add_reply(told, given.tree(told, b"update"), now=given.NOW)
        for content in (b"model", b"update"):
            object_id = given.object_id(content)
            assert tx.objects.belongs(object_id, run_id=RunId(1))
            assert not tx.objects.belongs(object_id, run_id=RunId(2))
            assert tx.objects.belongs_to_node(object_id, RunId(1), NodeId(11))
            assert not tx.objects.belongs_to_node(object_id, RunId(1), NodeId(12))
            assert not tx.objects.belongs_to_node(object_id, RunId(2), NodeId(11))
        assert not tx.objects.belongs(given.object_id(b"unknown"), run_id=RunId(1))


def test_a_failed_transaction_leaves_no_file(store: Store, payload_dir: Path) -> None:
    def fail_half_way() -> None:
        with store.transaction() as tx:
            announce(tx, LARGE)
            tx.objects.put(given.object_id(LARGE), LARGE)
            assert len(files(payload_dir)) == 1
            raise RuntimeError("on purpose")

    with pytest.raises(RuntimeError, match="on purpose"):
        fail_half_way()
    assert files(payload_dir) == []
    with store.reading() as tx:
        assert tx.objects.state(given.object_id(LARGE)) is ObjectState.UNKNOWN


@pytest.mark.row("F13")
@pytest.mark.parametrize("damage", ["altered", "gone"])
def test_damaged_content_is_noticed_and_can_be_transferred_again(
    store: Store,
    payload_dir: Path,
    damage: str,
) -> None:
    object_id = given.object_id(LARGE)
    with store.transaction() as tx:
        announce(tx, LARGE)
        tx.objects.put(object_id, LARGE)
    (file,) = files(payload_dir)
    file.unlink() if damage == "gone" else file.write_bytes(b"x" + LARGE[1:])
    with store.reading() as tx, pytest.raises(ObjectDamagedError):
        tx.objects.get(object_id)
    with store.transaction() as tx:
        tx.objects.forget(object_id)
        assert tx.objects.state(object_id) is ObjectState.AWAITED
        assert tx.objects.put(object_id, LARGE)
    with store.reading() as tx:
        assert tx.objects.get(object_id) == LARGE
    assert len(files(payload_dir)) == 1


@pytest.mark.row("F6", "F14")
def test_opening_removes_files_no_row_names_and_awaits_files_that_are_gone(
    opened: OpenStore,
    payload_dir: Path,
) -> None:
    lost, kept = b"1" + LARGE, b"2" + LARGE
    store = opened()
    with store.transaction() as tx:
        announce(tx, lost, kept)
        for content in (lost, kept):
            tx.objects.put(given.object_id(content), content)
    before = set(files(payload_dir))
    store.close()
    next(f for f in before if given.object_id(lost) in f.name).unlink()
    for orphan in ("ab/unfinished.tmp", "cd/newer-than-the-backup"):
        (payload_dir / orphan).parent.mkdir(exist_ok=True)
        (payload_dir / orphan).write_bytes(b"x")

    with opened().reading() as tx:
        assert tx.objects.state(given.object_id(lost)) is ObjectState.AWAITED
        assert tx.objects.get(given.object_id(kept)) == kept
    assert [given.object_id(kept) in f.name for f in files(payload_dir)] == [True]


def test_a_second_opener_does_not_sweep_while_the_first_writes(
    opened: OpenStore,
    payload_dir: Path,
) -> None:
    store = opened()
    object_id = given.object_id(LARGE)
    with store.transaction() as tx:
        announce(tx, LARGE)
    in_flight = store.begin_object(object_id, len(LARGE))
    in_flight.write(LARGE)
    arrived = in_flight.finish()  # no row names it yet
    opened()
    with store.keeping([arrived]) as tx:
        assert tx.objects.take(arrived)
    with store.reading() as tx:
        assert tx.objects.get(object_id) == LARGE


def test_contents_may_come_with_the_announcement(store: Store) -> None:
    leaf = given.object_id(b"leaf")
    message = given.instruction()
    tree = given.tree(message, b"leaf", b"other")
    with store.transaction() as tx:
        wanted = tx.objects.preregister(RUN, message.message_id, tree, {leaf: b"leaf"})
        assert wanted == [given.object_id(b"other"), ObjectId(message.message_id)]
        assert tx.objects.get(leaf) == b"leaf"
        assert tx.objects.contents(message.message_id) == {}  # not all of it is here
        brought = {given.object_id(b"other"): b"other", leaf: b"leaf"}
        wanted = tx.objects.preregister(RUN, message.message_id, tree, brought)
        assert wanted == [ObjectId(message.message_id)]
        assert tx.objects.get(given.object_id(b"other")) == b"other"


def test_a_small_message_is_read_at_once_a_large_one_is_not(store: Store) -> None:
    small, large = given.object_id(b"small"), given.object_id(SMALL)
    with store.transaction() as tx:
        for content in (b"small", SMALL):
            tx.objects.preregister(RUN, MessageId(content[:5].hex()), tree_of(content))
            tx.objects.put(given.object_id(content), content)
        assert tx.objects.contents(MessageId(b"small".hex())) == {small: b"small"}
        assert tx.objects.contents(MessageId(SMALL[:5].hex())) == {large: SMALL}
        both = ObjectTree(large, (ObjectTree(small),))
        tx.objects.preregister(RUN, MessageId("both"), both)
        assert tx.objects.contents(MessageId("both")) == {}


def tree_of(content: bytes) -> ObjectTree:
    return ObjectTree(given.object_id(content))
