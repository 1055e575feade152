"""Messages that travel whole: what arrives with a call, and what a call costs the store."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from flwr.auth.accounts import NO_LOGIN
from flwr.core.ids import MessageId, NodeId, ObjectId
from flwr.core.limits import ENCLOSED_CALL_BYTES, ENCLOSED_MESSAGE_BYTES, SMALL_MESSAGE_BYTES
from flwr.core.message import Delivery
from flwr.core.run import Run
from flwr.proto import appio_pb2, fleet_pb2
from flwr.shell.in_thread import in_thread
from flwr.store.objects import ObjectState
from flwr.superlink import topics
from flwr.superlink.handouts import HANDED_OUT_AGAIN_AFTER
from flwr.wire import metadata
from flwr.wire.codec.deliveries import (
    read_deliveries,
    read_replies,
    write_deliveries,
    write_received,
)
from tests.fakes.handovers import handed_over
from tests.fakes.statements import Asked, counted
from tests.unit.superlink.federation import Link, Sent
from tests.unit.superlink.served import (
    SOON_S,
    Served,
    SignedNode,
    on_a_served_link,
    with_token,
)

WHOLE = (metadata.ENCLOSE, "1")


def whole(sent: Sent) -> Delivery:
    return replace(sent.delivery, contents=sent.objects)


def size(sent: Sent) -> int:
    return sum(map(len, sent.objects.values()))


def instructions(link: Link, run: Run, count: int) -> list[Sent]:
    return [link.instruction(run, link.online().node_id) for _ in range(count)]


def enqueue(link: Link, run: Run, sent: list[Sent]) -> None:
    done = link.messages.enqueue(run.run_id, [whole(one) for one in sent])
    assert done.message_ids == [one.message_id for one in sent]
    assert done.missing == []


def answer(link: Link, sent: Sent) -> Sent:
    reply = link.reply_to(sent)
    node_id = sent.delivery.envelope.dst_node_id
    answered = link.messages.accept_reply(node_id, whole(reply), runtime_s=1.0)
    assert (answered.message_id, answered.missing) == (reply.message_id, [])
    return reply


def ids(sent: list[Sent]) -> list[MessageId]:
    return [one.message_id for one in sent]


def kinds(asked: Asked) -> list[str]:
    return [statement.split()[0] for statement in asked.statements]


def test_a_whole_instruction_is_queued_with_its_objects_and_comes_out_whole(link: Link) -> None:
    run, _ = link.running()
    (sent,) = instructions(link, run, 1)
    node_id = sent.delivery.envelope.dst_node_id
    link.rung.clear()
    enqueue(link, run, [sent])
    assert link.rung == [topics.node(node_id)]

    got = link.messages.deliver(node_id, whole_bytes=SMALL_MESSAGE_BYTES)

    assert got == sent.delivery
    assert got.contents == sent.objects


def test_a_node_of_the_plain_contract_gets_nothing_along(link: Link) -> None:
    run, _ = link.running()
    (sent,) = instructions(link, run, 1)
    enqueue(link, run, [sent])
    got = link.messages.deliver(sent.delivery.envelope.dst_node_id)
    assert got == sent.delivery
    assert got.contents == {}


def test_a_whole_reply_wakes_who_waits_once_and_is_collected_whole(link: Link) -> None:
    run, _ = link.running()
    (sent,) = instructions(link, run, 1)
    enqueue(link, run, [sent])
    link.rung.clear()

    reply = answer(link, sent)

    assert link.rung.count(topics.answer(sent.message_id)) == 1
    (got,) = link.messages.collect(run.run_id, ids([sent]), whole=True)
    assert (got, got.contents) == (reply.delivery, reply.objects)
    (plain,) = link.messages.collect(run.run_id, ids([sent]))
    assert (plain, plain.contents) == (reply.delivery, {})


def test_the_superlinks_own_answers_come_whole_where_asked_for(link: Link) -> None:
    run, _ = link.running()
    (unknown,) = link.messages.collect(run.run_id, [MessageId("f" * 64)], whole=True)
    assert unknown.is_whole
    (again,) = link.messages.collect(run.run_id, [MessageId("e" * 64)])
    assert again.contents == {}


def test_what_comes_along_is_counted_as_traffic(link: Link) -> None:
    run, _ = link.running()
    (sent,) = instructions(link, run, 1)
    enqueue(link, run, [sent])
    link.messages.deliver(sent.delivery.envelope.dst_node_id, whole_bytes=SMALL_MESSAGE_BYTES)
    reply = answer(link, sent)
    link.messages.confirm_replies(run.run_id, [reply.message_id])
    counted_on = link.run(run.run_id)
    assert (counted_on.bytes_sent, counted_on.bytes_recv) == (size(sent), size(reply))


def test_small_replies_beyond_one_call_stay_for_the_next(
    link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, _ = link.running()
    sent = instructions(link, run, 3)
    enqueue(link, run, sent)
    replies = [answer(link, one) for one in sent]
    room = size(replies[0]) + size(replies[1])
    monkeypatch.setattr("flwr.superlink.messages.ENCLOSED_CALL_BYTES", room)
    assert room < ENCLOSED_MESSAGE_BYTES < ENCLOSED_CALL_BYTES

    first = link.messages.collect(run.run_id, ids(sent), whole=True)
    link.messages.confirm_replies(run.run_id, [one.envelope.message_id for one in first])
    rest = link.messages.collect(run.run_id, ids(sent[2:]), whole=True)

    assert first == [one.delivery for one in replies[:2]]
    assert rest == [replies[2].delivery]
    assert all(one.is_whole for one in (*first, *rest))


def test_replies_are_forgotten_together_and_only_by_their_run(link: Link) -> None:
    (run, _), (other, _) = link.running(), link.running()
    sent = instructions(link, run, 3)
    enqueue(link, run, sent)
    replies = [answer(link, one) for one in sent]
    theirs = [one.message_id for one in replies[:2]]

    link.messages.confirm_replies(other.run_id, theirs)
    assert len(link.messages.collect(run.run_id, ids(sent))) == 3
    with counted(link.store) as asked:
        link.messages.confirm_replies(run.run_id, theirs)

    assert asked.commits == 1
    collected = link.messages.collect(run.run_id, ids(sent))
    assert [one.envelope.error is None for one in collected] == [True, False, False]
    assert link.kinds(run.run_id).count("message.collected") == 2


def test_an_answer_needs_no_confirmation_of_its_instruction(link: Link) -> None:
    run, _ = link.running()
    sent = instructions(link, run, 2)
    enqueue(link, run, sent)
    for one in sent:
        link.messages.deliver(one.delivery.envelope.dst_node_id, whole_bytes=SMALL_MESSAGE_BYTES)
    answer(link, sent[0])

    for one in sent:
        link.messages.confirm_received(one.delivery.envelope.dst_node_id, ids(sent))

    assert link.kinds(run.run_id).count("message.confirmed") == 1


def test_what_a_node_says_it_has_is_not_handed_out_again(link: Link) -> None:
    run, _ = link.running()
    (sent,) = instructions(link, run, 1)
    node_id = sent.delivery.envelope.dst_node_id
    enqueue(link, run, [sent])
    link.messages.deliver(node_id, whole_bytes=SMALL_MESSAGE_BYTES)
    link.pass_time(HANDED_OUT_AGAIN_AFTER.total_seconds())
    assert (
        link.messages.deliver(node_id, received=ids([sent]), whole_bytes=SMALL_MESSAGE_BYTES)
        is None
    )
    lost = link.messages.deliver(node_id, whole_bytes=SMALL_MESSAGE_BYTES)
    assert lost is not None
    assert lost.is_whole


# Costs: each transaction of the SuperLink for tiny messages, by its statements.


def test_a_batch_costs_as_many_statements_as_one_message(link: Link) -> None:
    run, _ = link.running()
    batches = [instructions(link, run, count) for count in (1, 20)]
    costs = []
    for sent in batches:
        with counted(link.store) as asked:
            enqueue(link, run, sent)
        costs.append((len(asked.statements), asked.commits))
    assert costs[0] == costs[1] == (8, 1), kinds(asked)


def test_handing_out_and_taking_back_are_one_commit_each(link: Link) -> None:
    run, _ = link.running()
    (sent,) = instructions(link, run, 1)
    enqueue(link, run, [sent])
    with counted(link.store) as asked:
        link.messages.deliver(sent.delivery.envelope.dst_node_id, whole_bytes=SMALL_MESSAGE_BYTES)
    assert (len(asked.statements), asked.commits) == (6, 1), kinds(asked)
    with counted(link.store) as asked:
        answer(link, sent)
    assert (len(asked.statements), asked.commits) == (8, 1), kinds(asked)


def test_what_a_small_instruction_brought_goes_with_its_reply(link: Link) -> None:
    run, _ = link.running()
    sent = instructions(link, run, 3)
    enqueue(link, run, sent)
    for one in sent:
        link.messages.deliver(one.delivery.envelope.dst_node_id, whole_bytes=SMALL_MESSAGE_BYTES)
    replies = [answer(link, one) for one in sent]
    assert states(link, sent, replies) == {ObjectState.PRESENT}
    link.messages.confirm_replies(run.run_id, ids(replies))
    assert states(link, sent, replies) == {ObjectState.UNKNOWN}


def test_a_reply_frees_what_its_instruction_brought_by_the_contract(link: Link) -> None:
    run, _ = link.running()
    sent = instructions(link, run, 1)
    enqueue(link, run, sent)
    link.messages.deliver(sent[0].delivery.envelope.dst_node_id)
    answer(link, sent[0])
    assert states(link, sent) == {ObjectState.PRESENT, ObjectState.UNKNOWN}, "parts are shared"


def states(link: Link, *sent: list[Sent]) -> set[ObjectState]:
    with link.store.reading() as tx:
        return {tx.objects.state(i) for some in sent for one in some for i in one.objects}


def test_asking_again_and_confirming_are_one_commit(link: Link) -> None:
    run, _ = link.running()
    sent = instructions(link, run, 2)
    enqueue(link, run, sent)
    reply = answer(link, sent[0])
    confirm = link.messages.confirm_and_ask
    with counted(link.store) as asked:
        left = confirm(run.run_id, [reply.message_id], ids(sent[1:]))
    assert left == ids(sent[1:])
    assert (len(asked.statements), asked.commits) == (9, 1), kinds(asked)
    with counted(link.store) as asked:
        assert confirm(run.run_id, [], left) == left
    assert asked.commits == 0


def test_asking_and_collecting_cost_the_same_for_one_and_for_many(link: Link) -> None:
    run, _ = link.running()
    sent = instructions(link, run, 20)
    enqueue(link, run, sent)
    for one in sent[:19]:
        answer(link, one)
    with counted(link.store) as asked:
        assert link.messages.still_to_ask(run.run_id, ids(sent)) == ids(sent[19:])
    assert (len(asked.statements), asked.commits) == (2, 0), kinds(asked)
    answer(link, sent[19])
    with counted(link.store) as asked:
        assert len(link.messages.collect(run.run_id, ids(sent), whole=True)) == 20
    assert (len(asked.statements), asked.commits) == (4, 0), kinds(asked)
    replies = link.messages.collect(run.run_id, ids(sent), whole=True)
    with counted(link.store) as asked:
        link.messages.confirm_replies(run.run_id, [one.envelope.message_id for one in replies])
    assert (len(asked.statements), asked.commits) == (8, 1), kinds(asked)


# The same over the wire.


async def pull(node: SignedNode, received: list[MessageId]) -> fleet_pb2.PullMessagesResponse:
    request = fleet_pb2.PullMessagesRequest()
    request.node.node_id = node.node_id
    write_received(request, received)
    response: fleet_pb2.PullMessagesResponse = await node.call("PullMessages", request, WHOLE)
    return response


async def push(node: SignedNode, reply: Sent) -> None:
    request = fleet_pb2.PushMessagesRequest()
    request.node.node_id = node.node_id
    write_deliveries(request, [whole(reply)])
    answered = await node.call("PushMessages", request)
    assert dict(answered.results) == {reply.message_id: 0}
    assert not answered.objects_to_push


async def ask(
    served: Served, token: str, run: Run, asked: list[Sent], received: list[MessageId]
) -> list[Delivery]:
    request = appio_pb2.PullAppMessagesRequest(run_id=run.run_id, message_ids=ids(asked))
    write_received(request, received)
    response = await served.appio.PullMessages(request, metadata=with_token(token, WHOLE))
    return read_deliveries(response)


@pytest.mark.row("S12", "S18", "S60")
def test_a_round_is_two_calls_of_the_app_and_two_of_each_node(
    link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flwr.store.turns._QUICK_S", 60.0)  # a busy machine's disk is no slow one

    async def body(served: Served) -> None:
        nodes = [await served.node() for _ in range(4)]
        run, token = link.running()
        sent = [link.instruction(run, NodeId(node.node_id)) for node in nodes]
        request = appio_pb2.PushAppMessagesRequest(run_id=run.run_id)
        write_deliveries(request, [whole(one) for one in sent])
        pushed = await served.appio.PushMessages(request, metadata=with_token(token))
        assert list(pushed.message_ids) == ids(sent)
        assert not pushed.objects_to_push

        with counted(link.store) as asked, handed_over() as handovers:
            asking = asyncio.ensure_future(ask(served, token, run, sent, []))
            assert await served.is_held(asking)
            replies = []
            for node, one in zip(nodes, sent, strict=True):
                (got,) = read_deliveries(await pull(node, []))
                assert got.contents == one.objects
                replies.append(link.reply_to(one))
                await push(node, replies[-1])
            async with asyncio.timeout(SOON_S):
                answers = await asking
        assert [one.contents for one in answers] == [one.objects for one in replies]
        assert asked.commits == 2 * len(nodes)
        assert handovers == ["Remembered.find"] * len(nodes), "who calls, once for each"
        looks = [s for s in asked.statements if "AS awaited" in s]
        assert len(looks) == 2, "one when it begins to wait, one to answer"

        forgotten = [one.message_id for one in replies]
        (error, *_) = await ask(served, token, run, sent, forgotten)
        assert error.envelope.error is not None

    on_a_served_link(link, body)


def test_an_answer_says_who_is_online_if_it_was_asked_for(
    link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    online = (metadata.ONLINE, "1")

    async def body(served: Served) -> None:
        run, token = link.running()
        sent = instructions(link, run, 2)
        await in_thread(enqueue, link, run, sent)
        for one in sent:
            await in_thread(answer, link, one)
        nodes = [one.delivery.envelope.dst_node_id for one in sent]
        request = appio_pb2.PullAppMessagesRequest(run_id=run.run_id, message_ids=ids(sent))

        async def told(*extra: tuple[str, str]) -> tuple[int, list[NodeId]]:
            pulled = await served.appio.PullMessages(
                request, metadata=with_token(token, WHOLE, *extra)
            )
            replies, seen = read_replies(pulled)
            return len(replies), sorted(seen)

        assert await told(online) == (2, sorted(nodes))
        assert await told() == (2, [])
        monkeypatch.setattr("flwr.superlink.rpc.serverappio.ONLINE_NODES", 1)
        assert await told(online) == (2, []), "they are many"

    on_a_served_link(link, body)


def test_a_node_that_does_not_answer_soon_is_noted_to_have_what_it_received(
    link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flwr.superlink.rpc.fleet._ANSWERED_WITHIN", timedelta(milliseconds=50))

    async def body(served: Served) -> None:
        node = await served.node()
        run, _ = link.running()
        await in_thread(enqueue, link, run, [link.instruction(run, NodeId(node.node_id))])
        (got,) = read_deliveries(await pull(node, []))

        held = asyncio.ensure_future(pull(node, [got.envelope.message_id]))
        for _ in range(3000):  # until what it received is noted
            if "message.confirmed" in link.kinds(run.run_id):
                break
            await asyncio.sleep(0.005)
        assert await served.is_held(held)
        assert link.kinds(run.run_id).count("message.confirmed") == 1

        await in_thread(link.send, run, NodeId(node.node_id), group_id="next")
        async with asyncio.timeout(SOON_S):
            assert len((await held).messages_list) == 1

    on_a_served_link(link, body)


def test_a_pull_that_can_bring_nothing_asks_the_store_nothing(link: Link) -> None:
    async def body(served: Served) -> None:
        node = await served.node()
        run, _ = link.running()
        active = (metadata.ACTIVE_RUNS, metadata.write_runs([run.run_id]))
        request = fleet_pb2.PullMessagesRequest()
        request.node.node_id = node.node_id
        await in_thread(enqueue, link, run, [link.instruction(run, NodeId(node.node_id))])
        (got,) = read_deliveries(await node.call("PullMessages", request, WHOLE, active))
        link.runs.ended_among([run.run_id])  # what any pull that looked has seen

        write_received(request, [got.envelope.message_id])
        with counted(link.store) as asked:
            held = asyncio.ensure_future(node.call("PullMessages", request, WHOLE, active))
            assert await served.is_held(held)
        assert not asked.statements
        await in_thread(link.runs.stop, NO_LOGIN, run.run_id)
        async with asyncio.timeout(SOON_S):
            await held  # the run's end is told, whatever is remembered

    on_a_served_link(link, body)


def test_what_a_node_took_and_does_not_have_is_looked_for(link: Link) -> None:
    run, _ = link.running()
    (sent,) = instructions(link, run, 1)
    enqueue(link, run, [sent])
    node_id = sent.delivery.envelope.dst_node_id
    assert link.messages.deliver(node_id) is not None
    assert not link.messages.knows_none(node_id)
    assert link.messages.knows_none(node_id, [sent.message_id])
    enqueue(link, run, [link.instruction(run, node_id, group_id="next")])
    assert not link.messages.knows_none(node_id, [sent.message_id])


def test_a_message_that_lacks_an_object_is_completed_by_the_contract(link: Link) -> None:
    run, _ = link.running()
    (sent,) = instructions(link, run, 1)
    part, *rest = sent.objects
    half = replace(sent.delivery, contents={i: sent.objects[ObjectId(i)] for i in rest})
    assert link.messages.enqueue(run.run_id, [half]).missing == [part]
    assert link.objects.put(run.run_id, part, sent.objects[part])
    got = link.messages.deliver(sent.delivery.envelope.dst_node_id, whole_bytes=SMALL_MESSAGE_BYTES)
    assert got is not None
    assert got.is_whole
