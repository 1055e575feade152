from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from flwr.core.errors import AlreadyExistsError, NotFoundError
from flwr.core.ids import MessageId, NodeId, ObjectId, RunId
from flwr.core.message import Envelope, MessageError
from flwr.store.incoming import ArrivedObject
from flwr.store.store import Store, Tx
from tests import given

NODE = NodeId(2**64 - 5)
HOUR = timedelta(hours=1)


def queue(tx: Tx, *contents: bytes, ready: bool = True, **fields: object) -> Envelope:
    """Put an instruction for NODE into the queue."""
    message = given.instruction(**{"dst_node_id": NODE, **fields})
    tree = given.tree(message, *contents)
    tx.objects.preregister(message.run_id, message.message_id, tree)
    tx.messages.add_instruction(
        message,
        tree,
        now=given.NOW,
        expires_at=given.NOW + HOUR,
        ready=ready,
    )
    return message


def answer(tx: Tx, message: Envelope, *contents: bytes, **fields: object) -> Envelope:
    reply = given.reply(message, **fields)
    tree = given.tree(reply, *contents)
    tx.objects.preregister(reply.run_id, reply.message_id, tree)
    assert tx.messages.add_reply(reply, tree, now=given.NOW)
    return reply


def test_an_instruction_comes_back_as_it_was_stored(store: Store) -> None:
    with store.transaction() as tx:
        plain = queue(tx, b"a", b"b", created_at=1774000000.1234567, ttl=0.1)
        failed = queue(tx, error=MessageError(2, "boom\nü"))
    with store.reading() as tx:
        found = tx.messages.find_instruction(plain.message_id)
        assert found is not None
        assert found.envelope == plain
        assert found.tree == given.tree(plain, b"a", b"b")
        assert (found.dst, found.run_id, found.attempts) == (NODE, RunId(7), 0)
        assert found.added_at == given.NOW
        assert found.expires_at == given.NOW + HOUR
        with_error = tx.messages.find_instruction(failed.message_id)
        assert with_error is not None
        assert with_error.envelope.error == MessageError(2, "boom\nü")
        assert tx.messages.find_instruction(MessageId("0" * 64)) is None


def test_an_instruction_is_queued_once(store: Store) -> None:
    with store.transaction() as tx:
        message = queue(tx)
        with pytest.raises(AlreadyExistsError):
            tx.messages.add_instruction(
                message,
                given.tree(message),
                now=given.NOW,
                expires_at=given.NOW + HOUR,
            )


def test_the_oldest_waiting_instruction_is_claimed_first(store: Store) -> None:
    with store.transaction() as tx:
        sent = [queue(tx, run_id=RunId(n)).message_id for n in (3, 1, 3)]
        queue(tx, dst_node_id=NodeId(9))
        assert tx.messages.waiting_runs(NODE, given.NOW) == [RunId(3), RunId(1)]
        assert tx.messages.claim(NODE, limit=1, now=given.NOW, run_id=RunId(1)) == [sent[1]]
        assert tx.messages.claim(NODE, limit=5, now=given.NOW) == [sent[0], sent[2]]
        assert tx.messages.claim(NODE, limit=5, now=given.NOW) == []
        assert [i.message_id for i in tx.messages.queued(NODE, given.NOW)] == sent
        assert tx.messages.waiting_runs(NODE, given.NOW) == []


@pytest.mark.row("F2")
@pytest.mark.slow
def test_an_instruction_is_handed_to_one_of_many_pullers(store: Store) -> None:
    with store.transaction() as tx:
        sent = {queue(tx).message_id for _ in range(200)}

    def drain(_: int) -> list[MessageId]:
        mine: list[MessageId] = []
        while True:
            with store.transaction() as tx:
                taken = tx.messages.claim(NODE, limit=1, now=given.NOW)
            if not taken:
                return mine
            mine += taken

    with ThreadPoolExecutor(6) as threads:
        taken = [message for share in threads.map(drain, range(6)) for message in share]

    assert len(taken) == 200  # nobody got one twice
    assert set(taken) == sent  # nobody missed one


def test_what_expired_or_is_incomplete_is_not_claimed(store: Store) -> None:
    with store.transaction() as tx:
        message = queue(tx, ready=False)
        assert tx.messages.claim(NODE, limit=1, now=given.NOW) == []
        assert tx.messages.waiting_runs(NODE, given.NOW) == []
        tx.messages.set_ready(message.message_id)
        assert tx.messages.claim(NODE, limit=1, now=given.NOW + HOUR) == []
        assert tx.messages.claim(NODE, limit=1, now=given.NOW) == [message.message_id]


def test_a_released_instruction_waits_again_and_counts_an_attempt(store: Store) -> None:
    with store.transaction() as tx:
        message = queue(tx)
        tx.messages.release([message.message_id])  # was not claimed: no attempt
        tx.messages.claim(NODE, limit=1, now=given.NOW)
        tx.messages.confirm(message.message_id, given.NOW)
        tx.messages.release([message.message_id])
        found = tx.messages.find_instruction(message.message_id)
        assert found is not None
        assert (found.claimed_at, found.confirmed_at, found.attempts) == (None, None, 1)
        assert tx.messages.claim(NODE, limit=1, now=given.NOW) == [message.message_id]


def test_confirming_is_for_claimed_instructions_and_the_first_time_counts(store: Store) -> None:
    with store.transaction() as tx:
        message = queue(tx)
        tx.messages.confirm(message.message_id, given.NOW)
        assert tx.messages.unanswered(NODE)[0].confirmed_at is None
        tx.messages.claim(NODE, limit=1, now=given.NOW)
        tx.messages.confirm(message.message_id, given.NOW + HOUR)
        tx.messages.confirm(message.message_id, given.NOW)
        assert tx.messages.unanswered(NODE)[0].confirmed_at == given.NOW + HOUR


@pytest.mark.row("F3")
def test_an_instruction_is_answered_exactly_once(store: Store) -> None:
    with store.transaction() as tx:
        message = queue(tx)
        reply = answer(tx, message, b"x")
        again = given.reply(message)
        assert not tx.messages.add_reply(reply, given.tree(reply, b"x"), now=given.NOW)
        assert not tx.messages.add_reply(again, given.tree(again), now=given.NOW)
        found = tx.messages.find_reply(message.message_id)
        assert found is not None
        assert found.envelope == reply
        assert found.tree == given.tree(reply, b"x")
        assert tx.messages.find_replies([reply.message_id, again.message_id]) == {
            reply.message_id: found
        }
        orphan = given.reply(given.instruction())
        with pytest.raises(NotFoundError):
            tx.messages.add_reply(orphan, given.tree(orphan), now=given.NOW)


def test_an_answered_instruction_is_never_handed_out_again(store: Store) -> None:
    with store.transaction() as tx:
        message = queue(tx)
        tx.messages.claim(NODE, limit=1, now=given.NOW)
        tx.messages.release([message.message_id])
        answer(tx, message)  # the first taker was slow, not dead
        assert tx.messages.claim(NODE, limit=1, now=given.NOW) == []
        assert tx.messages.queued(NODE, given.NOW) == []
        assert tx.messages.unanswered(NODE) == []
        assert tx.messages.expired(given.NOW + 2 * HOUR, 10) == []


def test_only_unanswered_instructions_expire(store: Store) -> None:
    with store.transaction() as tx:
        assert tx.messages.next_expiry() is None
        message = queue(tx)
        assert tx.messages.next_expiry() == given.NOW + HOUR
        assert tx.messages.expired(given.NOW, 10) == []
        assert tx.messages.expired(given.NOW + HOUR, 10) == [message.message_id]
        answer(tx, message)
        assert tx.messages.next_expiry() is None


def test_deleting_takes_the_reply_and_what_only_they_owned(store: Store) -> None:
    with store.transaction() as tx:
        first, second = queue(tx, b"model", b"first"), queue(tx, b"model")
        reply = answer(tx, first, b"update")
        tx.messages.delete([first.message_id])
        assert tx.messages.find_instruction(first.message_id) is None
        assert tx.messages.find_reply(first.message_id) is None
        gone = [given.object_id(b"first"), given.object_id(b"update"), reply.message_id]
        assert [tx.objects.state(ObjectId(i)).value for i in gone] == ["unknown"] * 3
        assert tx.objects.state(given.object_id(b"model")).value == "awaited"
        tx.messages.delete([second.message_id])
        assert tx.objects.state(given.object_id(b"model")).value == "unknown"


def test_a_run_is_deleted_without_touching_another(store: Store) -> None:
    with store.transaction() as tx:
        mine = queue(tx, b"model", run_id=RunId(1))
        answer(tx, mine, b"update")
        queue(tx, b"model", run_id=RunId(2))
        tx.messages.delete_run(RunId(1))
        assert tx.messages.for_run(RunId(1)) == []
        assert len(tx.messages.for_run(RunId(2))) == 1
        assert tx.objects.state(given.object_id(b"update")).value == "unknown"
        assert tx.objects.state(given.object_id(b"model")).value == "awaited"


@pytest.mark.row("F3")
def test_the_outbox_holds_complete_replies_until_they_are_deleted(store: Store) -> None:
    with store.transaction() as tx:
        message = queue(tx)
        reply = answer(tx, message, b"x" * 100)
        root = ObjectId(reply.message_id)
        assert tx.messages.replies_to_send() == []
        assert tx.objects.put(given.object_id(b"x" * 100), b"x" * 100)
        assert tx.messages.replies_to_send() == []  # its own object is missing
        tx.objects.take(ArrivedObject(root, 1, b"x", None))
        assert [r.envelope for r in tx.messages.replies_to_send()] == [reply]
        tx.messages.delete([message.message_id])
        assert tx.messages.replies_to_send() == []


@pytest.mark.row("F34")
def test_a_reply_with_an_id_already_used_does_not_silence_another_instruction(store: Store) -> None:
    with store.transaction() as tx:
        first, second = queue(tx), queue(tx)
        used = answer(tx, first)
        forged = given.reply(second, message_id=used.message_id)
        assert not tx.messages.add_reply(forged, given.tree(forged), now=given.NOW)
        assert [i.message_id for i in tx.messages.unanswered(NODE)] == [second.message_id]
        answer(tx, second)
