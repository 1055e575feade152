from dataclasses import replace
from datetime import timedelta

import pytest

from flwr.auth.accounts import NO_LOGIN
from flwr.auth.node_keys import NodeIdError, new_node_key
from flwr.core.errors import InvalidError
from flwr.core.ids import SUPERLINK_NODE, MessageId, NodeId, ObjectId
from flwr.core.limits import MAX_LAUNCH_ATTEMPTS
from flwr.core.message import SYSTEM_MESSAGE, Delivery, ErrorCode, ObjectTree
from flwr.core.run import RunNotRunningError
from flwr.superlink import topics
from flwr.superlink.absences import EXCUSED
from flwr.superlink.handouts import HANDED_OUT_AGAIN_AFTER, MOST_REPEATS
from flwr.wire.object_format import object_id_of
from tests.unit.superlink.federation import INTERVAL_S, Link, Sent

UNKNOWN = MessageId("f" * 64)


def codes(answers: list[Delivery]) -> list[int]:
    return [a.envelope.error.code if a.envelope.error else 0 for a in answers]


def test_an_instruction_is_delivered_once_with_its_tree(link: Link) -> None:
    run, _ = link.running()
    node = link.online()
    sent = link.send(run, node.node_id)
    assert topics.node(node.node_id) in link.rung

    assert link.messages.deliver(node.node_id) == sent.delivery
    assert link.messages.deliver(node.node_id) is None


@pytest.mark.row("S39")
def test_a_node_gets_nothing_that_is_for_another(link: Link) -> None:
    run, _ = link.running()
    asked, other = link.online(), link.online()
    link.send(run, asked.node_id)
    assert link.messages.deliver(other.node_id) is None


def test_instructions_are_delivered_oldest_first(link: Link) -> None:
    run, _ = link.running()
    node = link.online()
    sent = [link.send(run, node.node_id, group_id=str(n)) for n in range(3)]
    got = [link.messages.deliver(node.node_id) for _ in range(3)]
    assert [d.envelope.message_id for d in got if d] == [s.message_id for s in sent]


@pytest.mark.row("F26")
def test_an_unregistered_node_is_refused_at_its_next_pull(link: Link) -> None:
    node = link.online()
    link.nodes.unregister(NO_LOGIN, node.node_id)
    with pytest.raises(NodeIdError, match="Invalid node ID"):
        link.messages.deliver(node.node_id)


def test_an_instruction_to_a_node_that_never_connected_has_no_id_and_leaves_nothing(
    link: Link,
) -> None:
    run, _ = link.running()
    good = link.online()
    registered = link.nodes.register(NO_LOGIN, new_node_key().public_pem)
    refused = [link.instruction(run, n) for n in (registered.node_id, NodeId(5))]
    kept = link.instruction(run, good.node_id)

    done = link.messages.enqueue(run.run_id, [m.delivery for m in (refused[0], kept, refused[1])])

    assert done.message_ids == [None, kept.message_id, None]
    assert set(done.missing) == set(kept.objects)
    with link.store.reading() as tx:
        for message in refused:
            assert not tx.objects.belongs(message.delivery.tree.object_id, run_id=run.run_id)


def test_an_offline_node_can_be_addressed(link: Link) -> None:
    run, _ = link.running()
    node = link.online()
    link.nodes.deactivate(node.node_id)
    sent = link.send(run, node.node_id)
    assert codes(link.messages.collect(run.run_id, [sent.message_id])) == [5]


@pytest.mark.parametrize(
    "wrong",
    [
        {"ttl": 0.0},
        {"src_node_id": NodeId(7)},
        {"dst_node_id": SUPERLINK_NODE},
        {"reply_to": UNKNOWN},
        {"message_type": ""},
        {"created_at": 1.0},
    ],
)
def test_a_malformed_instruction_refuses_the_batch(link: Link, wrong: dict[str, object]) -> None:
    run, _ = link.running()
    node = link.online()
    good = link.instruction(run, node.node_id)
    bad = link.instruction(run, node.node_id)
    bad_envelope = replace(bad.delivery.envelope, **wrong)  # type: ignore[arg-type]

    with pytest.raises(InvalidError):
        link.messages.enqueue(
            run.run_id, [good.delivery, Delivery(bad_envelope, bad.delivery.tree)]
        )

    assert link.messages.deliver(node.node_id) is None


def test_a_tree_of_another_message_is_refused(link: Link) -> None:
    run, _ = link.running()
    sent = link.instruction(run, link.online().node_id)
    stray = Delivery(sent.delivery.envelope, ObjectTree(ObjectId("a" * 64)))
    with pytest.raises(InvalidError, match="another message"):
        link.messages.enqueue(run.run_id, [stray])


def test_only_a_running_run_exchanges_messages(link: Link) -> None:
    pending = link.submit()
    sent = link.instruction(pending, link.online().node_id)
    with pytest.raises(RunNotRunningError, match="Run is pending"):
        link.messages.enqueue(pending.run_id, [sent.delivery])
    with pytest.raises(RunNotRunningError):
        link.messages.collect(pending.run_id, [])


def test_pushing_an_instruction_twice_keeps_one(link: Link) -> None:
    run, _ = link.running()
    node = link.online()
    sent = link.instruction(run, node.node_id)
    first = link.messages.enqueue(run.run_id, [sent.delivery])
    again = link.messages.enqueue(run.run_id, [sent.delivery])
    assert again == first
    assert link.messages.deliver(node.node_id) is not None
    assert link.messages.deliver(node.node_id) is None


def test_a_reply_is_collected_until_it_is_confirmed(link: Link) -> None:
    run, _ = link.running()
    node = link.online()
    sent = link.send(run, node.node_id)
    link.messages.deliver(node.node_id)
    assert link.messages.still_to_ask(run.run_id, [sent.message_id]) == [sent.message_id]

    reply = link.answer(sent)

    assert topics.answer(sent.message_id) in link.rung
    assert not link.messages.still_to_ask(run.run_id, [sent.message_id])
    for _ in range(2):
        assert link.messages.collect(run.run_id, [sent.message_id]) == [reply.delivery]
    assert link.objects.get(run.run_id, reply.delivery.tree.object_id).is_present

    link.messages.confirm_replies(run.run_id, [reply.message_id])

    assert codes(link.messages.collect(run.run_id, [sent.message_id])) == [3]
    assert not link.objects.get(run.run_id, reply.delivery.tree.object_id).is_known


@pytest.mark.row("F3")
def test_a_reply_pushed_twice_counts_once(link: Link) -> None:
    run, _ = link.running()
    node = link.online()
    sent = link.send(run, node.node_id)
    reply = link.answer(sent)

    again = link.messages.accept_reply(node.node_id, reply.delivery, runtime_s=1.0)

    assert again.message_id == reply.message_id
    assert again.missing == []
    assert link.run(run.run_id).clientapp_runtime_s == 1.0
    assert link.kinds(run.run_id).count("message.answered") == 1


@pytest.mark.row("F3", "F9")
def test_a_second_different_reply_is_refused_and_leaves_nothing(link: Link) -> None:
    run, _ = link.running()
    node = link.online()
    sent = link.send(run, node.node_id)
    first = link.answer(sent)
    link.pass_time(1)
    other = link.reply_to(sent, group_id="1")

    refused = link.messages.accept_reply(node.node_id, other.delivery, runtime_s=0.0)

    assert refused.message_id is None
    assert refused.missing == []
    assert not link.objects.get(run.run_id, other.delivery.tree.object_id).is_known
    assert link.messages.collect(run.run_id, [sent.message_id]) == [first.delivery]


@pytest.mark.parametrize(
    "wrong",
    [
        {"ttl": 4000.0},
        {"dst_node_id": NodeId(9)},
        {"reply_to": UNKNOWN},
        {"reply_to": None},
        {"src_node_id": SUPERLINK_NODE},
    ],
)
def test_a_reply_that_does_not_fit_is_refused(link: Link, wrong: dict[str, object]) -> None:
    run, _ = link.running()
    node = link.online()
    sent = link.send(run, node.node_id)
    reply = link.reply_to(sent, **wrong)
    assert link.messages.accept_reply(node.node_id, reply.delivery, runtime_s=0).message_id is None
    assert link.messages.still_to_ask(run.run_id, [sent.message_id]) == [sent.message_id]


@pytest.mark.row("F26")
def test_a_node_cannot_answer_for_another(link: Link) -> None:
    run, _ = link.running()
    asked, other = link.online(), link.online()
    reply = link.reply_to(link.send(run, asked.node_id))
    answered = link.messages.accept_reply(other.node_id, reply.delivery, runtime_s=0)
    assert answered.message_id is None


def test_a_reply_of_a_stopped_run_is_dropped_by_the_node(link: Link) -> None:
    run, _ = link.running()
    node = link.online()
    reply = link.reply_to(link.send(run, node.node_id))
    link.runs.stop(NO_LOGIN, run.run_id)
    with pytest.raises(RunNotRunningError, match="Stopped by user"):
        link.messages.accept_reply(node.node_id, reply.delivery, runtime_s=0)


def test_a_reply_counts_once_its_content_is_complete(link: Link) -> None:
    run, _ = link.running()
    node = link.online()
    sent = link.send(run, node.node_id)
    reply = link.reply_to(sent, group_id="x")
    answered = link.messages.accept_reply(node.node_id, reply.delivery, runtime_s=0.0)
    link.rung.clear()
    assert link.messages.collect(run.run_id, [sent.message_id]) == []

    for object_id in answered.missing:
        assert topics.answer(sent.message_id) not in link.rung
        content = reply.objects[object_id]
        assert link.objects.put(run.run_id, object_id, content, node_id=node.node_id)

    assert topics.answer(sent.message_id) in link.rung
    assert link.messages.collect(run.run_id, [sent.message_id]) == [reply.delivery]


def test_an_unknown_instruction_is_answered_with_error_3(link: Link) -> None:
    run, _ = link.running()

    (answer,) = link.messages.collect(run.run_id, [UNKNOWN])

    envelope = answer.envelope
    assert envelope.error is not None
    assert envelope.error.code == ErrorCode.MESSAGE_UNAVAILABLE
    assert (envelope.run_id, envelope.message_type, envelope.ttl) == (0, SYSTEM_MESSAGE, 0.0)
    assert (envelope.src_node_id, envelope.dst_node_id) == (SUPERLINK_NODE, SUPERLINK_NODE)
    assert envelope.reply_to == UNKNOWN
    pulled = link.objects.get(run.run_id, answer.tree.object_id)
    assert MessageId(object_id_of(pulled.content)) == envelope.message_id
    link.messages.confirm_replies(run.run_id, [envelope.message_id])
    assert not link.objects.get(run.run_id, answer.tree.object_id).is_known


@pytest.mark.row("F23", "S40")
def test_an_instruction_of_another_run_is_an_unknown_one(link: Link) -> None:
    (run, _), (other, _) = link.running(), link.running()
    sent = link.send(run, link.online().node_id)
    assert codes(link.messages.collect(other.run_id, [sent.message_id])) == [3]
    assert link.messages.collect(run.run_id, [sent.message_id]) == []


def test_an_expired_instruction_is_answered_with_error_3_and_wakes_who_waits(link: Link) -> None:
    run, _ = link.running()
    node = link.online()
    sent = link.send(run, node.node_id, ttl=50.0)
    link.rung.clear()
    link.pass_time(50)

    assert link.messages.deliver(node.node_id) is None
    link.reaper.sweep()

    assert topics.run(run.run_id) in link.rung
    assert codes(link.messages.collect(run.run_id, [sent.message_id])) == [3]


@pytest.mark.row("F18")
def test_time_to_live_counts_from_arrival_whatever_the_senders_clock(link: Link) -> None:
    run, _ = link.running()
    node = link.online()
    early = link.clock.now().timestamp() - 86_400
    sent = link.instruction(run, node.node_id, ttl=60.0)
    late = replace(sent.delivery.envelope, created_at=early)
    link.messages.enqueue(run.run_id, [Delivery(late, sent.delivery.tree)])
    assert link.messages.deliver(node.node_id) is not None


def test_a_reply_that_expired_before_it_was_asked_for_is_error_4(link: Link) -> None:
    run, _ = link.running()
    node = link.online()
    sent = link.send(run, node.node_id, ttl=50.0)
    link.answer(sent)
    link.pass_time(55)
    (answer,) = link.messages.collect(run.run_id, [sent.message_id])
    assert codes([answer]) == [4]
    assert answer.envelope.run_id == run.run_id
    assert link.objects.get(run.run_id, answer.tree.object_id).is_present


def test_a_lost_node_is_answered_with_error_5_and_its_late_reply_refused(link: Link) -> None:
    run, token = link.running()
    node = link.online()
    sent = link.send(run, node.node_id, group_id="3")
    late = link.reply_to(sent)
    link.rung.clear()
    link.pass_time(INTERVAL_S)
    link.launches.heartbeat(link.hash_of(token))
    link.pass_time(INTERVAL_S)
    link.reaper.sweep()
    assert topics.run(run.run_id) in link.rung

    (answer,) = link.messages.collect(run.run_id, [sent.message_id])

    envelope = answer.envelope
    assert codes([answer]) == [5]
    assert (envelope.run_id, envelope.group_id) == (run.run_id, "3")
    assert envelope.message_type == "train"
    assert envelope.ttl == pytest.approx(3600 - 60)
    assert link.objects.get(run.run_id, answer.tree.object_id).is_present
    refused = link.messages.accept_reply(node.node_id, late.delivery, runtime_s=0)
    assert refused.message_id is None
    assert link.messages.collect(run.run_id, [sent.message_id]) == [answer]


def test_a_reply_is_found_first_even_when_its_node_has_left(link: Link) -> None:
    run, _ = link.running()
    node = link.online()
    sent = link.send(run, node.node_id)
    reply = link.answer(sent)
    link.nodes.deactivate(node.node_id)
    link.nodes.unregister_self(node.node_id)
    assert link.messages.collect(run.run_id, [sent.message_id]) == [reply.delivery]


def test_a_node_lost_in_the_middle_of_its_upload_is_error_5(link: Link) -> None:
    run, _ = link.running()
    node = link.online()
    sent = link.send(run, node.node_id)
    reply = link.reply_to(sent, group_id="x")
    link.messages.accept_reply(node.node_id, reply.delivery, runtime_s=0)
    link.nodes.deactivate(node.node_id)
    assert codes(link.messages.collect(run.run_id, [sent.message_id])) == [5]
    assert not link.objects.get(run.run_id, reply.delivery.tree.object_id).is_known


@pytest.mark.row("F2")
def test_a_restarted_node_gets_its_unanswered_instructions_again(link: Link) -> None:
    run, _ = link.running()
    key = new_node_key()
    node = link.online(key)
    sent = link.send(run, node.node_id)
    link.messages.deliver(node.node_id)
    link.messages.confirm_instruction(node.node_id, run.run_id, sent.message_id)
    assert link.messages.deliver(node.node_id) is None

    link.online(key)

    assert link.messages.deliver(node.node_id) == sent.delivery
    for object_id in sent.objects:
        assert link.objects.get(run.run_id, object_id, node_id=node.node_id).is_present


@pytest.mark.row("F2", "F8")
def test_a_node_with_a_durable_inbox_gets_only_what_it_never_confirmed(link: Link) -> None:
    run, _ = link.running()
    key = new_node_key()
    node = link.online(key, is_durable=True)
    confirmed, lost = (link.send(run, node.node_id, group_id=g) for g in "ab")
    for _ in range(2):
        link.messages.deliver(node.node_id)
    link.messages.confirm_instruction(node.node_id, run.run_id, confirmed.message_id)

    link.online(key, is_durable=True)

    assert link.messages.deliver(node.node_id) == lost.delivery
    assert link.messages.deliver(node.node_id) is None


@pytest.mark.row("F2")
def test_an_instruction_that_always_kills_its_node_is_answered_with_error_8(link: Link) -> None:
    run, _ = link.running()
    key = new_node_key()
    node = link.online(key)
    sent = link.send(run, node.node_id)
    for _ in range(MAX_LAUNCH_ATTEMPTS):
        assert link.messages.deliver(node.node_id) == sent.delivery
        link.online(key)
    assert link.messages.deliver(node.node_id) is None
    assert codes(link.messages.collect(run.run_id, [sent.message_id])) == [8]


@pytest.mark.row("F2", "F3")
@pytest.mark.parametrize("is_durable", [True, False])
def test_half_a_reply_is_completed_by_a_node_that_remembers_and_given_up_by_another(
    link: Link, is_durable: bool
) -> None:
    run, _ = link.running()
    key = new_node_key()
    node = link.online(key, is_durable=is_durable)
    sent = link.send(run, node.node_id)
    link.messages.deliver(node.node_id)
    half = link.reply_to(sent, group_id="half")
    assert link.messages.accept_reply(node.node_id, half.delivery, runtime_s=1.0).missing
    assert link.messages.collect(run.run_id, [sent.message_id]) == []

    link.online(key, is_durable=is_durable)  # it crashed while it sent the content

    collected = link.messages.collect(run.run_id, [sent.message_id])
    assert [answer.envelope.error is not None for answer in collected] == (
        [] if is_durable else [True]
    )
    again = link.messages.accept_reply(node.node_id, half.delivery, runtime_s=1.0)
    assert (again.message_id == half.message_id) is is_durable  # a late one counts for nothing


@pytest.mark.row("F44")
def test_a_durable_node_that_says_goodbye_is_waited_for(link: Link) -> None:
    run, _ = link.running()
    key = new_node_key()
    node = link.online(key, is_durable=True)
    sent = link.send(run, node.node_id)
    link.nodes.deactivate(node.node_id)
    assert link.messages.collect(run.run_id, [sent.message_id]) == []

    link.clock.advance(EXCUSED - timedelta(seconds=1))
    link.online(key, is_durable=True)
    reply = link.answer(sent)

    assert link.messages.collect(run.run_id, [sent.message_id]) == [reply.delivery]


def test_a_durable_node_that_does_not_come_back_is_error_5_in_the_end(link: Link) -> None:
    run, _ = link.running()
    node = link.online(is_durable=True)
    sent = link.send(run, node.node_id)
    link.nodes.deactivate(node.node_id)
    link.clock.advance(EXCUSED)
    assert codes(link.messages.collect(run.run_id, [sent.message_id])) == [5]


def test_an_instruction_whose_call_went_away_waits_again(link: Link) -> None:
    run, _ = link.running()
    node = link.online()
    sent = link.send(run, node.node_id)
    taken = link.messages.deliver(node.node_id)
    assert taken is not None
    link.messages.put_back(taken)
    assert link.messages.deliver(node.node_id) == sent.delivery


def test_traffic_is_counted_on_the_run(link: Link) -> None:
    run, _ = link.running()
    node = link.online()
    sent: Sent = link.send(run, node.node_id)
    for object_id in sent.objects:
        link.objects.get(run.run_id, object_id, node_id=node.node_id)
    link.answer(sent)
    (reply,) = link.messages.collect(run.run_id, [sent.message_id])
    link.messages.confirm_replies(run.run_id, [reply.envelope.message_id])
    counted = link.run(run.run_id)
    assert counted.bytes_sent == sum(map(len, sent.objects.values()))
    assert counted.bytes_recv > 0


@pytest.mark.row("F2", "F20")
def test_an_instruction_that_was_never_confirmed_is_handed_out_again_a_few_times(
    link: Link,
) -> None:
    run, token = link.running()
    node = link.online()
    sent = link.send(run, node.node_id)
    assert link.messages.deliver(node.node_id) == sent.delivery
    assert link.messages.deliver(node.node_id) is None

    for _ in range(MOST_REPEATS):
        link.clock.advance(HANDED_OUT_AGAIN_AFTER)
        link.launches.heartbeat(link.hash_of(token))
        assert link.messages.deliver(node.node_id) == sent.delivery
        assert link.messages.deliver(node.node_id) is None

    link.clock.advance(HANDED_OUT_AGAIN_AFTER)
    assert link.messages.deliver(node.node_id) is None
    reply = link.answer(sent)
    assert link.messages.collect(run.run_id, [sent.message_id]) == [reply.delivery]


def test_a_confirmed_instruction_is_not_handed_out_again(link: Link) -> None:
    run, _ = link.running()
    node = link.online()
    sent = link.send(run, node.node_id)
    link.messages.deliver(node.node_id)
    link.messages.confirm_instruction(node.node_id, run.run_id, sent.message_id)
    link.clock.advance(HANDED_OUT_AGAIN_AFTER)
    assert link.messages.deliver(node.node_id) is None


def test_waiting_for_all_looks_only_at_what_was_open_and_any_is_met_by_one(link: Link) -> None:
    run, _ = link.running()
    node = link.online()
    sent = [link.send(run, node.node_id, group_id=g) for g in "abc"]
    asked = [s.message_id for s in sent]
    assert link.messages.still_to_ask(run.run_id, asked, any_will_do=True) == asked

    link.answer(sent[0])
    assert link.messages.still_to_ask(run.run_id, asked) == asked[1:]
    assert link.messages.still_to_ask(run.run_id, asked, any_will_do=True) == []
    for message in sent[1:]:
        link.answer(message)
    assert link.messages.still_to_ask(run.run_id, asked[1:]) == []
    assert link.messages.still_to_ask(run.run_id, []) == []


@pytest.mark.row("F35")
@pytest.mark.parametrize("told", [float("nan"), float("inf"), -1.0])
def test_a_running_time_that_cannot_be_does_not_spoil_the_runs_total(
    link: Link, told: float
) -> None:
    run, _ = link.running()
    sent = link.send(run, link.online().node_id)
    reply = link.reply_to(sent)

    answered = link.messages.accept_reply(
        sent.delivery.envelope.dst_node_id, reply.delivery, runtime_s=told
    )

    assert answered.message_id == reply.message_id
    assert link.run(run.run_id).clientapp_runtime_s == 0.0
