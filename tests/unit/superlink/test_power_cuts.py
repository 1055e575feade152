"""A power cut under a SuperLink: what it answered for is there, what it was not is done again."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from flwr.core.message import Delivery
from flwr.superlink import topics
from tests.fakes.clock import FakeClock
from tests.fakes.power import Disk, disk
from tests.fakes.statements import counted
from tests.unit.superlink.federation import Link, Sent


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Disk]:
    with disk(tmp_path / "superlink.db") as made:
        yield made


@pytest.fixture
def link(files: Disk, clock: FakeClock, fab: bytes) -> Link:
    return Link(files.store, clock, fab)


def whole(sent: Sent) -> Delivery:
    return replace(sent.delivery, contents=sent.objects)


def cut_power(files: Disk, link: Link) -> Link:
    """Return the SuperLink that is started when the power is back."""
    return Link(files.cut_power(), link.clock, link.fab)


@pytest.mark.row("F6", "F8")
def test_what_was_answered_for_survives_and_the_rest_is_handed_out_again(
    files: Disk, link: Link
) -> None:
    run, _ = link.running()
    node = link.online()
    sent = link.instruction(run, node.node_id)
    assert link.messages.enqueue(run.run_id, [whole(sent)]).message_ids == [sent.message_id]
    assert link.messages.deliver(node.node_id, whole=True) == sent.delivery

    again = cut_power(files, link)

    assert again.messages.deliver(node.node_id, whole=True) == sent.delivery, "its claim was lost"
    reply = again.reply_to(sent)
    answered = again.messages.accept_reply(node.node_id, whole(reply), runtime_s=1.0)
    assert answered.message_id == reply.message_id

    once_more = cut_power(files, again)

    assert once_more.messages.deliver(node.node_id) is None, "it is answered"
    (got,) = once_more.messages.collect(run.run_id, [sent.message_id], whole=True)
    assert (got, got.contents) == (reply.delivery, reply.objects)


@pytest.mark.row("F3", "F8")
def test_a_reply_that_was_not_answered_for_is_taken_again_and_counts_once(
    files: Disk, link: Link
) -> None:
    run, _ = link.running()
    node = link.online()
    sent = link.send(run, node.node_id)
    reply = link.reply_to(sent)
    link.rung.clear()
    accept = link.messages.accept_reply
    _, commit = link.store.postponed(accept, node.node_id, whole(reply), runtime_s=1.0)
    assert commit, "nobody is answered before"
    assert link.rung == [topics.answer(sent.message_id)], "the ServerApp hears of it at once"
    (seen,) = link.messages.collect(run.run_id, [sent.message_id])

    again = cut_power(files, link)

    known = again.messages.accept_reply(node.node_id, whole(reply), runtime_s=1.0)
    assert known.message_id == seen.envelope.message_id == reply.message_id
    assert again.kinds(run.run_id).count("message.answered") == 1


@pytest.mark.row("F6", "F8")
def test_nobody_is_given_an_instruction_that_a_power_cut_may_take(files: Disk, link: Link) -> None:
    run, _ = link.running()
    node = link.online()
    sent = link.instruction(run, node.node_id)
    link.rung.clear()
    link.store.postponed(link.messages.enqueue, run.run_id, [whole(sent)])
    assert link.rung == []
    link.store.settle()
    assert link.rung == [topics.node(node.node_id)]


def test_a_message_is_two_waits_for_the_disk(files: Disk, link: Link) -> None:
    run, _ = link.running()
    node = link.online()
    for _ in range(2):
        sent = link.instruction(run, node.node_id)
        with counted(files.store) as asked:
            link.messages.enqueue(run.run_id, [whole(sent)])
            link.messages.deliver(node.node_id, whole=True)
            link.messages.confirm_received(node.node_id, [sent.message_id])
            reply = link.reply_to(sent)
            link.messages.accept_reply(node.node_id, whole(reply), runtime_s=1.0)
            link.messages.collect(run.run_id, [sent.message_id], whole=True)
            link.messages.confirm_replies(run.run_id, [reply.message_id])
        assert asked.syncs == 2, "the instruction, the reply"
        assert asked.commits == 5
    with counted(files.store) as asked:
        link.logs.append(run.run_id, ["a line"])
    assert asked.syncs == 0, "it informs people"
