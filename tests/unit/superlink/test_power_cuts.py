"""A power cut under a SuperLink: what it answered for is there, what it was not is done again."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from flwr.core.ids import MessageId, NodeId
from flwr.core.limits import SMALL_MESSAGE_BYTES
from flwr.core.run import Run
from flwr.shell.in_thread import AtOnce
from flwr.store.store import Store
from flwr.superlink import topics
from flwr.superlink.handouts import HANDED_OUT_AGAIN_AFTER
from flwr.superlink.messages import Answered
from flwr.superlink.rpc import lines, taking
from flwr.wire.codec.lines import LinkSays, NodeSays, encode_link_frame
from tests.fakes.clock import FakeClock
from tests.fakes.power import Disk, disk
from tests.fakes.statements import counted
from tests.unit.superlink.federation import INTERVAL_S, Link, Sent
from tests.unit.superlink.raw_lines import RawLine, looked, on_a_raw_line, pushed, whole
from tests.unit.superlink.served import SOON_S, Served


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Disk]:
    with disk(tmp_path / "superlink.db") as made:
        yield made


@pytest.fixture
def link(files: Disk, clock: FakeClock, fab: bytes) -> Link:
    return Link(files.store, clock, fab)


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
    assert link.messages.deliver(node.node_id, whole_bytes=SMALL_MESSAGE_BYTES) == sent.delivery

    again = cut_power(files, link)

    assert again.messages.deliver(node.node_id, whole_bytes=SMALL_MESSAGE_BYTES) == sent.delivery, (
        "its claim was lost"
    )
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


@pytest.mark.row("F6")
def test_what_a_superlink_that_was_killed_had_granted_is_handed_out_at_once(
    files: Disk, link: Link
) -> None:
    run, _ = link.running()
    nodes = [link.online() for _ in range(2)]
    for node in nodes:
        sent = link.instruction(run, node.node_id)
        link.messages.enqueue(run.run_id, [whole(sent)])
        assert link.messages.deliver(node.node_id, whole_bytes=SMALL_MESSAGE_BYTES) == sent.delivery
    link.pass_time(1)

    again = Link(files.store, link.clock, link.fab)

    assert again.messages.deliver(nodes[0].node_id, whole_bytes=SMALL_MESSAGE_BYTES) is not None, (
        "it may never have left"
    )
    assert again.messages.deliver(nodes[0].node_id, whole_bytes=SMALL_MESSAGE_BYTES) is None
    assert again.messages.deliver(nodes[1].node_id) is None, "others may execute it twice"
    again.pass_time(HANDED_OUT_AGAIN_AFTER.total_seconds())
    assert again.messages.deliver(nodes[1].node_id) is not None


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
            link.messages.deliver(node.node_id, whole_bytes=SMALL_MESSAGE_BYTES)
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


@pytest.fixture
def owed(link: Link, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the commits that lines owed; an answer is never said before its commit is durable."""
    commits: list[int] = []
    owing, encode = AtOnce.owing, encode_link_frame

    async def note(at_once: AtOnce, *args: Any, **kwargs: Any) -> Any:
        result, commit = await owing(at_once, *args, **kwargs)
        commits.extend([commit] if isinstance(result, Answered) else [])
        return result, commit

    def check(said: LinkSays) -> bytes:
        assert not said.answers or link.store.is_settled(commits[-1])
        return encode(said)

    monkeypatch.setattr(Store, "is_quick", True)
    monkeypatch.setattr(AtOnce, "owing", note)
    monkeypatch.setattr(lines, "encode_link_frame", check)
    return commits


def test_a_reply_on_a_line_shares_the_wait_of_the_next_instruction(
    link: Link, owed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taking, "_COMPANY_S", INTERVAL_S)
    monkeypatch.setattr(taking.ReplyTaking, "_settle_now", None)  # it need not wait by itself

    async def body(served: Served, line: RawLine, node_id: NodeId) -> None:
        run, token = link.running()
        await looked(served, line)
        replies: list[Sent] = []
        for number in range(3):
            sent = link.instruction(run, node_id, group_id=str(number))
            await pushed(served, token, run, [sent])
            said = await line.hear()
            assert [one.reply_id for one in said.answers] == [r.message_id for r in replies]
            replies = [link.reply_to(sent)]
            await line.say(NodeSays(taken=number + 1, replies=[(whole(replies[0]), 0.5)]))
            await answered(served, run, sent)

    on_a_raw_line(link, body)
    assert len(owed) == 3
    assert all(owed)


@pytest.mark.row("F3", "F8")
@pytest.mark.parametrize("count", [1, 3])
def test_a_line_answers_for_nothing_that_a_power_cut_may_take(
    link: Link, owed: list[int], monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    monkeypatch.setattr(taking, "_COMPANY_S", 0.01)

    async def body(served: Served, line: RawLine, node_id: NodeId) -> None:
        run, token = link.running()
        await looked(served, line)
        sent = [link.instruction(run, node_id, group_id=str(n)) for n in range(count)]
        await pushed(served, token, run, sent)
        came = 0
        while came < count:
            came += len((await line.hear()).deliveries)
        replies = [link.reply_to(one) for one in sent]
        await line.say(NodeSays(taken=count, replies=[(whole(one), 0.5) for one in replies]))
        told: list[MessageId] = []
        while len(told) < count:
            told += [one.reply_id for one in (await line.hear()).answers]
        assert told == [one.message_id for one in replies]

    on_a_raw_line(link, body)
    assert len(owed) == count
    assert all(owed)


async def answered(served: Served, run: Run, sent: Sent) -> None:
    async def attempt() -> bool | None:
        return bool(served.link.messages.collect(run.run_id, [sent.message_id])) or None

    bells = [topics.answer(sent.message_id)]
    assert await served.wakeups.until(bells, attempt, timeout=timedelta(seconds=SOON_S))
