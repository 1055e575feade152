from collections.abc import Callable

import pytest

from flwr.auth.accounts import NO_LOGIN
from flwr.core.errors import InvalidError
from flwr.core.ids import NodeId, ObjectId
from flwr.core.limits import INLINE_OBJECT_BYTES
from flwr.core.run import RunNotRunningError
from flwr.store.incoming import IncomingObject
from flwr.superlink import topics
from flwr.superlink.objects import Objects
from flwr.superlink.uploads import Uploads
from flwr.wire.codec.pieces import Absence
from flwr.wire.object_format import MalformedObjectError, ObjectType, build_object, object_id_of
from tests.fakes.statements import counted
from tests.unit.superlink.federation import Link, Sent, message

OTHER = build_object(ObjectType.ARRAY_CHUNK, (), b"other")


def test_content_is_taken_once_announced_and_rings_who_waits(link: Link) -> None:
    run, _ = link.running()
    sent = link.instruction(run, link.online().node_id)
    (first, *_) = link.messages.enqueue(run.run_id, [sent.delivery]).missing
    assert link.objects.get(run.run_id, first).is_awaited

    assert link.objects.put(run.run_id, first, sent.objects[first])

    assert topics.content(first) in link.rung
    assert link.objects.get(run.run_id, first).content == sent.objects[first]
    assert link.objects.put(run.run_id, first, sent.objects[first])  # a retry


def test_content_nobody_announced_or_with_another_hash_is_not_stored(link: Link) -> None:
    run, _ = link.running()
    sent = link.instruction(run, link.online().node_id)
    (first, *_) = link.messages.enqueue(run.run_id, [sent.delivery]).missing
    assert not link.objects.put(run.run_id, object_id_of(OTHER), OTHER)
    assert not link.objects.put(run.run_id, first, OTHER)
    assert link.objects.get(run.run_id, first).is_awaited
    assert not link.objects.get(run.run_id, ObjectId("e" * 64)).is_known


def test_what_is_no_object_is_refused(link: Link) -> None:
    run, _ = link.running()
    with pytest.raises(MalformedObjectError):
        link.objects.put(run.run_id, ObjectId("e" * 64), b"no object")


def test_a_large_object_is_kept_whole(link: Link) -> None:
    run, _ = link.running()
    node = link.online()
    chunk = build_object(ObjectType.ARRAY_CHUNK, (), b"x" * (INLINE_OBJECT_BYTES + 1))
    sent = link.instruction(run, node.node_id)
    tree = sent.delivery.tree
    with link.store.transaction() as tx:
        tx.objects.preregister(run.run_id, sent.message_id, tree)
        branch = type(tree)(object_id_of(chunk))
        tx.objects.preregister(run.run_id, sent.message_id, branch)
    assert link.objects.put(run.run_id, object_id_of(chunk), chunk)
    assert link.objects.get(run.run_id, object_id_of(chunk)).content == chunk


@pytest.mark.row("F23", "S40")
def test_another_run_can_neither_read_nor_fill_an_object(link: Link) -> None:
    (run, _), (other, _) = link.running(), link.running()
    node = link.online()
    sent = link.send(run, node.node_id)
    object_id = sent.delivery.tree.object_id
    assert not link.objects.get(other.run_id, object_id).is_known
    assert not link.objects.put(other.run_id, object_id, sent.objects[object_id])
    assert not link.objects.get(other.run_id, object_id, node_id=node.node_id).is_known


@pytest.mark.row("F23")
def test_another_node_can_neither_read_nor_fill_an_object(link: Link) -> None:
    run, _ = link.running()
    asked, other = link.online(), link.online()
    sent = link.send(run, asked.node_id)
    object_id = sent.delivery.tree.object_id
    assert link.objects.get(run.run_id, object_id, node_id=asked.node_id).is_present
    assert not link.objects.get(run.run_id, object_id, node_id=other.node_id).is_known

    reply = link.reply_to(sent, group_id="r")
    link.messages.accept_reply(asked.node_id, reply.delivery, runtime_s=0)
    theirs = reply.delivery.tree.object_id
    content = reply.objects[theirs]
    assert not link.objects.put(run.run_id, theirs, content, node_id=other.node_id)
    assert link.objects.put(run.run_id, theirs, content, node_id=asked.node_id)


def test_an_object_shared_by_two_nodes_is_sent_once(link: Link) -> None:
    run, _ = link.running()
    first, second = (link.instruction(run, link.online().node_id) for _ in range(2))
    missing = link.messages.enqueue(run.run_id, [first.delivery, second.delivery]).missing
    assert len(missing) == len(set(missing)) == 4  # two messages, their shared content


def test_objects_need_a_running_run(link: Link) -> None:
    run, _ = link.running()
    sent = link.send(run, link.online().node_id)
    link.runs.stop(NO_LOGIN, run.run_id)
    object_id = sent.delivery.tree.object_id
    with pytest.raises(RunNotRunningError):
        link.objects.get(run.run_id, object_id)
    with pytest.raises(RunNotRunningError):
        link.objects.put(run.run_id, object_id, sent.objects[object_id])


@pytest.mark.row("F13")
def test_a_damaged_object_is_awaited_again(link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    from flwr.store.errors import ObjectDamagedError
    from flwr.store.objects import Objects as Stored

    run, _ = link.running()
    sent = link.send(run, link.online().node_id)
    object_id = sent.delivery.tree.object_id

    def damaged(_self: Stored, wanted: ObjectId, **_: object) -> None:
        raise ObjectDamagedError(wanted, "its bytes were altered")

    with monkeypatch.context() as patched:
        patched.setattr(Stored, "open", damaged)
        assert link.objects.get(run.run_id, object_id).is_awaited
    assert link.objects.put(run.run_id, object_id, sent.objects[object_id])
    assert link.objects.get(run.run_id, object_id).is_present


def test_an_absurdly_large_object_is_refused(link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flwr.superlink.objects.MAX_OBJECT_BYTES", 10)
    run, _ = link.running()
    content = message(run_id=run.run_id, src_node_id=1, dst_node_id=2, created_at=2e9).objects
    object_id, whole = next(iter(content.items()))
    with pytest.raises(InvalidError, match="10 allowed"):
        link.objects.put(run.run_id, object_id, whole)


@pytest.mark.row("F3")
def test_content_another_sender_brought_first_still_wakes_who_waits_for_the_reply(
    link: Link,
) -> None:
    run, _ = link.running()
    node = link.online()
    sent = link.send(run, node.node_id)
    reply = link.reply_to(sent, group_id="r")
    missing = link.messages.accept_reply(node.node_id, reply.delivery, runtime_s=0).missing
    assert missing
    for object_id in missing:  # the same content, brought by another run or a moment before
        link.store.put_object(object_id, reply.objects[object_id])
    link.rung.clear()

    for object_id in missing:
        content = reply.objects[object_id]
        assert link.objects.put(run.run_id, object_id, content, node_id=node.node_id)

    assert topics.answer(sent.message_id) in link.rung


def bring_in_calls(objects: Objects, reply: Sent, node_id: NodeId) -> None:
    run_id = reply.delivery.envelope.run_id
    for object_id, content in reply.objects.items():
        assert objects.put(run_id, object_id, content, node_id=node_id)


def bring_in_pieces(objects: Objects, reply: Sent, node_id: NodeId) -> list[IncomingObject]:
    run_id = reply.delivery.envelope.run_id
    arriving = []
    for object_id, content in reply.objects.items():
        one = objects.begin(run_id, object_id, len(content), node_id=node_id)
        assert one is not None
        one.write(content)
        objects.complete(one)
        arriving.append(one)
    assert all(objects.keep(run_id, arriving, node_id=node_id))
    return arriving


@pytest.mark.row("F6")
@pytest.mark.parametrize("bring", [bring_in_calls, bring_in_pieces])
def test_what_completes_a_reply_of_before_a_restart_wakes_who_waits_for_it(
    link: Link, bring: Callable[[Objects, Sent, NodeId], object]
) -> None:
    run, _ = link.running()
    node = link.online()
    reply = link.reply_to(link.send(run, node.node_id), group_id="r")
    assert link.messages.accept_reply(node.node_id, reply.delivery, runtime_s=0).missing
    link.rung.clear()

    bring(Objects(link.store, link.traffic, Uploads()), reply, node.node_id)

    assert topics.run(run.run_id) in link.rung


def test_who_brought_a_large_reply_is_told_when_it_was_collected(link: Link) -> None:
    run, _ = link.running()
    node = link.online()
    sent = link.send(run, node.node_id)
    reply = link.reply_to(sent, payload=bytes(2 * INLINE_OBJECT_BYTES))
    assert link.messages.accept_reply(node.node_id, reply.delivery, runtime_s=0).missing
    kept = bring_in_pieces(link.objects, reply, node.node_id)
    told: list[str] = []

    with link.objects.watching(kept, lambda: told.append("collected")):
        assert not told
        link.messages.confirm_replies(run.run_id, [reply.message_id])
        assert told == ["collected"]


@pytest.mark.row("F13")
def test_content_that_was_renewed_while_it_was_read_is_kept(
    link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flwr.store.errors import ObjectDamagedError
    from flwr.store.objects import Objects as Stored

    run, _ = link.running()
    sent = link.send(run, link.online().node_id)
    object_id = sent.delivery.tree.object_id
    looks: list[ObjectId] = []
    get = Stored.get

    def gone_at_first(objects: Stored, wanted: ObjectId) -> bytes | None:
        looks.append(wanted)
        if len(looks) == 1:
            raise ObjectDamagedError(wanted, "its file is gone")
        return get(objects, wanted)

    monkeypatch.setattr(Stored, "get", gone_at_first)
    assert link.objects.get(run.run_id, object_id).content == sent.objects[object_id]


def test_an_object_in_pieces_costs_few_statements_each_way(link: Link) -> None:
    run, _ = link.running()
    node = link.online()
    sent = link.send(run, node.node_id)
    object_id = sent.delivery.tree.object_id
    with counted(link.store) as asked:
        opened = link.objects.open(run.run_id, object_id, node_id=node.node_id)
    assert not isinstance(opened, Absence)
    opened.close()
    assert (len(asked.statements), asked.commits) == (3, 0)  # its run, whose it is, itself

    reply = link.reply_to(sent, group_id="r")
    link.messages.accept_reply(node.node_id, reply.delivery, runtime_s=0)
    theirs = reply.delivery.tree.object_id
    with counted(link.store) as asked:
        begun = link.objects.begin(run.run_id, theirs, 10, node_id=node.node_id)
        assert link.objects.open(run.run_id, theirs, node_id=node.node_id) is Absence.AWAITED
    assert begun is not None
    assert (len(asked.statements), asked.commits) == (2 + 3, 0)
