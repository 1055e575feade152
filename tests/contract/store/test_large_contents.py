"""Large objects that come along with their message: files, written once, durable when asked."""

from pathlib import Path

import pytest

from flwr.core import limits
from flwr.core.ids import MessageId, RunId
from flwr.core.message import Envelope
from flwr.store.store import Store, Tx
from tests import given

RUN = RunId(7)
SMALL, LARGE = b"s", b"l" * (limits.INLINE_OBJECT_BYTES + 1)


def bring(tx: Tx, *contents: bytes, durable: bool = False) -> Envelope:
    message = given.instruction(run_id=RUN)
    tree = given.tree(message, *contents)
    brought = {given.object_id(content): content for content in contents}
    tx.objects.preregister(RUN, message.message_id, tree, brought, durable=durable)
    return message


def files(store: Store) -> list[Path]:
    return [store._payloads.directory / name for name in store._payloads.names()]


def complete(tx: Tx, message: Envelope) -> MessageId:
    """Give the message's own object, which no test is about, some content."""
    tx.objects._fill(message.message_id, {"size_bytes": 1, "content": b"m"})  # type: ignore[arg-type]
    return message.message_id


def test_they_are_files_written_once_and_go_with_their_last_message(store: Store) -> None:
    with store.transaction() as tx:
        first = complete(tx, bring(tx, SMALL, LARGE))
        second = complete(tx, bring(tx, LARGE))
    assert len(files(store)) == 1
    with store.reading() as tx:
        found = tx.objects.contents_of([first, second], at_most=limits.ENCLOSED_MESSAGE_BYTES)
        assert {SMALL, LARGE} < set(found[first].values())
        assert LARGE in found[second].values()
        assert tx.objects.contents(first) == {}, "it is larger than that"
    with store.transaction() as tx:
        tx.objects.release(first)
    assert len(files(store)) == 1
    with store.transaction() as tx:
        tx.objects.release(second)
    assert files(store) == []


@pytest.mark.parametrize("durable", [False, True])
def test_they_are_durable_with_their_row_or_to_be_settled(store: Store, durable: bool) -> None:
    with store.transaction() as tx:
        bring(tx, LARGE, durable=durable)
        unsettled = tx.objects.unsettled
    (file,) = files(store)
    assert file.name.endswith("~") is not durable
    assert bool(unsettled) is not durable
    store.settle_objects(unsettled)
    assert not any(map(store._payloads.is_unsynced, store._payloads.names()))


def test_nothing_is_left_of_what_was_rolled_back(store: Store) -> None:
    def fail() -> None:
        with store.transaction() as tx:
            bring(tx, LARGE)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert files(store) == []


def test_what_is_damaged_is_not_handed_out(store: Store) -> None:
    with store.transaction() as tx:
        message = complete(tx, bring(tx, SMALL, LARGE))
    (file,) = files(store)
    file.write_bytes(b"x" * len(LARGE))
    with store.reading() as tx:
        assert tx.objects.contents(message, at_most=limits.ENCLOSED_MESSAGE_BYTES) == {}
    file.unlink()
    with store.reading() as tx:
        assert tx.objects.contents(message, at_most=limits.ENCLOSED_MESSAGE_BYTES) == {}
