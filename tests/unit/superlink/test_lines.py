"""A node's line over real gRPC: who may open one, what goes on it, and how it ends."""

import asyncio
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any

import grpc
import pytest

from flwr.auth.accounts import NO_LOGIN
from flwr.auth.line_seal import LineKey
from flwr.auth.node_keys import new_node_key
from flwr.core.clock import SystemClock
from flwr.core.errors import UnauthenticatedError
from flwr.core.ids import NodeId, RunId
from flwr.core.limits import LINE_FRAME_BYTES, LINE_OWED, LINE_REPLIES, LINE_WINDOW
from flwr.core.message import Delivery
from flwr.proto.compose.v1 import line_pb2
from flwr.shell.in_thread import in_thread
from flwr.superlink import topics
from flwr.superlink.rpc import lines, taking
from flwr.wire.clients import line as client_line
from flwr.wire.clients.fleet import FleetClient, Pulled
from flwr.wire.codec.lines import (
    OPEN,
    Answer,
    LinkSays,
    NodeSays,
    decode_link_frame,
    encode_node_frame,
)
from flwr.wire.transport import PeerNotRunningError
from tests.unit.superlink.federation import INTERVAL_S, Link, Sent
from tests.unit.superlink.raw_lines import (
    RawLine,
    looked,
    on_a_raw_line,
    pushed,
    raw_line,
    sign,
    whole,
)
from tests.unit.superlink.served import SOON_S, Served, on_a_served_link

INTERVAL = timedelta(seconds=INTERVAL_S)


class CountingClient(FleetClient):
    """Counts the calls that a line makes needless."""

    calls = 0

    def _start(self, method: str, *args: Any, **kwargs: Any) -> Any:
        self.calls += method.endswith(("PullMessages", "PushMessages", "ConfirmMessageReceived"))
        return super()._start(method, *args, **kwargs)


async def _has_no_disk() -> None:
    pass


async def joined(served: Served) -> tuple[CountingClient, NodeId]:
    client = CountingClient(
        served.fleet_channel,
        new_node_key(),
        clock=SystemClock(),
        is_durable=True,
        secure=_has_no_disk,
    )
    await client.register()
    return client, await client.activate(INTERVAL, remembers=True)


@pytest.mark.row("S3", "S12", "S18")
def test_an_instruction_comes_and_its_reply_goes_on_the_line(link: Link) -> None:
    async def body(served: Served) -> None:
        node, node_id = await joined(served)
        run, _ = link.running()
        held = asyncio.create_task(node.pull_messages())
        assert await served.is_held(held)
        for number in range(3):
            sent = link.instruction(run, node_id, group_id=str(number))
            await in_thread(link.messages.enqueue, run.run_id, [whole(sent)])
            async with asyncio.timeout(SOON_S):
                (delivery,) = (await held).deliveries
            assert delivery.contents == sent.objects
            held = asyncio.create_task(
                node.pull_messages([run.run_id], [delivery.envelope.message_id])
            )
            reply = link.reply_to(sent)
            assert await node.push_reply(whole(reply), 0.5) == []
            (collected,) = link.messages.collect(run.run_id, [sent.message_id])
            assert collected == reply.delivery
        assert node.calls == 0
        held.cancel()

    on_a_served_link(link, body)
    assert "message.confirmed" not in link.kinds()
    assert link.kinds().count("message.answered") == 3


def test_what_is_not_answered_soon_is_confirmed_by_itself(link: Link) -> None:
    async def body(served: Served) -> None:
        node, node_id = await joined(served)
        run, _ = link.running()
        sent = link.send(run, node_id)
        await node.pull_messages()
        held = asyncio.create_task(node.pull_messages([run.run_id], [sent.message_id]))
        for _ in range(300):
            if "message.confirmed" in link.kinds():  # after LINE_CONFIRMS
                break
            await asyncio.sleep(0.05)
        assert not held.done()
        assert node.calls == 0
        held.cancel()

    on_a_served_link(link, body)
    assert link.kinds().count("message.confirmed") == 1


def test_a_run_that_ended_is_told_once(link: Link) -> None:
    async def body(served: Served) -> None:
        node, node_id = await joined(served)
        run, _ = link.running()
        held = asyncio.create_task(node.pull_messages([run.run_id]))
        assert await served.is_held(held)
        await in_thread(link.runs.stop, NO_LOGIN, run.run_id)
        async with asyncio.timeout(SOON_S):
            assert await held == Pulled((), (run.run_id,), is_heartbeat=True)
        again, _ = link.running()
        sent = link.instruction(again, node_id)
        await in_thread(link.messages.enqueue, again.run_id, [whole(sent)])
        async with asyncio.timeout(SOON_S):
            pulled = await node.pull_messages([again.run_id])
        assert (len(pulled.deliveries), pulled.ended_runs) == (1, ())

    on_a_served_link(link, body)


def test_a_refused_reply_is_refused_alone(link: Link) -> None:
    async def body(served: Served, line: RawLine, node_id: NodeId) -> None:
        (over, _), (run, _) = link.running(), link.running()
        late, sent = link.send(over, node_id), link.send(run, node_id)
        link.runs.stop(NO_LOGIN, over.run_id)
        replies = [link.reply_to(late), link.reply_to(sent)]
        await line.say(NodeSays(replies=[(whole(reply), 0.5) for reply in replies]))
        answers: list[Answer] = []
        while len(answers) < len(replies):
            answers += (await line.hear()).answers
        assert isinstance(answers[0].refusal, PeerNotRunningError)
        assert answers[1].refusal is None
        assert answers[1].missing == []
        await line.say(NodeSays(asks=True))  # and the line lives on
        while not (await line.hear()).heard:
            pass

    on_a_raw_line(link, body)


def test_a_node_that_takes_nothing_gets_no_more_than_its_window(link: Link) -> None:
    async def body(_served: Served, line: RawLine, node_id: NodeId) -> None:
        run, _ = link.running()
        for number in range(LINE_WINDOW + 2):
            link.send(run, node_id, group_id=str(number))
        came: list[Delivery] = []
        while len(came) < LINE_WINDOW:
            came += (await line.hear()).deliveries
        await line.say(NodeSays(asks=True))
        said = await line.hear()
        assert (said.heard, said.deliveries) == (True, [])
        await line.say(NodeSays(taken=LINE_WINDOW))
        while len(came) < LINE_WINDOW + 2:
            came += (await line.hear()).deliveries
        assert len({one.envelope.message_id for one in came}) == LINE_WINDOW + 2

    on_a_raw_line(link, body)


def test_what_was_on_its_way_when_a_line_broke_comes_on_the_next(link: Link) -> None:
    async def body(served: Served) -> None:
        node = await served.node()
        run, _ = link.running()
        first = await raw_line(served, node.node_id, node.key)
        sent = await in_thread(link.send, run, NodeId(node.node_id))
        assert [d.envelope.message_id for d in (await first.hear()).deliveries] == [sent.message_id]
        second = await raw_line(served, node.node_id, node.key)
        assert await first.end() == (grpc.StatusCode.OK, "")  # a node has one line
        again = await second.hear()
        assert [d.envelope.message_id for d in again.deliveries] == [sent.message_id]
        second.call.cancel()

    on_a_served_link(link, body)


@pytest.mark.row("F2", "F20")
def test_a_node_goes_on_by_calls_when_lines_end(link: Link) -> None:
    async def body(served: Served) -> None:
        node, node_id = await joined(served)
        run, _ = link.running()
        sent = link.send(run, node_id)
        await node.pull_messages()
        served.wakeups.close()  # the SuperLink is stopping: its lines end, and calls are not held
        async with asyncio.timeout(SOON_S):
            pulled = await node.pull_messages([run.run_id], [sent.message_id])
        # Nobody told the SuperLink that it arrived: it comes again, and counts once all the same.
        assert {d.envelope.message_id for d in pulled.deliveries} <= {sent.message_id}
        assert await node.push_reply(whole(link.reply_to(sent)), 0.5) == []
        assert node.calls >= 1

    on_a_served_link(link, body)
    assert link.kinds().count("message.answered") == 1


@pytest.mark.row("S47")
def test_an_opening_counts_once(link: Link) -> None:
    async def body(served: Served, line: RawLine, _node_id: NodeId) -> None:
        replayed: Any = served.fleet_channel.stream_stream(OPEN)(metadata=line.headers)
        await replayed.write(line.opening)
        assert await replayed.code() is grpc.StatusCode.UNAUTHENTICATED
        assert await replayed.details() == "Invalid signature"

    on_a_raw_line(link, body)


def test_an_opening_in_anothers_name_or_changed_is_refused(link: Link) -> None:
    async def body(served: Served) -> None:
        mine, other = await served.node(), await served.node()
        line = await raw_line(served, other.node_id, mine.key)
        assert (await line.end())[0] is grpc.StatusCode.UNAUTHENTICATED
        opening = line_pb2.NodeFrame(heartbeat_interval=INTERVAL_S, key=LineKey().public)
        opening.node.node_id = mine.node_id
        headers = sign(mine.key, opening.SerializeToString())
        opening.key = LineKey().public
        call: Any = served.fleet_channel.stream_stream(OPEN)(metadata=headers)
        await call.write(opening.SerializeToString())
        assert await call.code() is grpc.StatusCode.UNAUTHENTICATED

    on_a_served_link(link, body)


@pytest.mark.parametrize("attack", ["changed", "repeated", "left out", "of nobody"])
def test_a_frame_that_is_not_the_nodes_next_one_ends_the_line(link: Link, attack: str) -> None:
    async def body(_served: Served, line: RawLine, _node_id: NodeId) -> None:
        first, second = (line.seal.seal(encode_node_frame(NodeSays(asks=True))) for _ in range(2))
        frames = {
            "changed": [first[:-1] + b"\0"],
            "repeated": [first, first],
            "left out": [second],
            "of nobody": [b"short"],
        }
        for frame in frames[attack]:
            await line.call.write(frame)
        assert (await line.end())[0] is grpc.StatusCode.UNAUTHENTICATED

    on_a_raw_line(link, body)


@pytest.mark.parametrize(
    "malformed", ["no message", "too long", "too many", "unpaired", "taken", "trees"]
)
def test_a_malformed_frame_ends_the_line(link: Link, malformed: str) -> None:
    async def body(_served: Served, line: RawLine, node_id: NodeId) -> None:
        run, _ = link.running()
        reply = whole(link.reply_to(link.send(run, node_id)))
        unpaired = line_pb2.NodeFrame.FromString(encode_node_frame(NodeSays(replies=[(reply, 1)])))
        unpaired.ClearField("clientapp_runtime_list")
        trees = line_pb2.NodeFrame.FromString(encode_node_frame(NodeSays(replies=[(reply, 1)])))
        trees.ClearField("message_object_trees")
        frame = {
            "no message": b"\xff\xff",
            "too long": bytes(LINE_FRAME_BYTES),
            "too many": encode_node_frame(NodeSays(replies=[(reply, 1.0)] * (LINE_REPLIES + 1))),
            "unpaired": unpaired.SerializeToString(),
            "taken": encode_node_frame(NodeSays(taken=5)),
            "trees": trees.SerializeToString(),
        }[malformed]
        await line.call.write(line.seal.seal(frame))
        assert (await line.end())[0] is grpc.StatusCode.INVALID_ARGUMENT

    on_a_raw_line(link, body)


@pytest.mark.parametrize("fields", [{"heartbeat_interval": 1e9}, {"taken": 1}, {"key": b"none"}])
def test_a_malformed_opening_is_refused(link: Link, fields: dict[str, Any]) -> None:
    async def body(served: Served) -> None:
        node = await served.node()
        line = await raw_line(served, node.node_id, node.key, **fields)
        code = (await line.end())[0]
        assert code in {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION}

    on_a_served_link(link, body)


@pytest.mark.row("S47")
def test_the_line_of_a_node_ends_when_its_key_is_no_longer_registered(link: Link) -> None:
    async def body(served: Served) -> None:
        node, node_id = await joined(served)
        run, _ = link.running()
        sent = link.send(run, node_id)
        await node.pull_messages()
        held = asyncio.create_task(node.pull_messages([], [sent.message_id]))
        assert await served.is_held(held)
        await in_thread(link.nodes.unregister_self, node_id)
        async with asyncio.timeout(SOON_S):
            with pytest.raises(UnauthenticatedError):
                await held
            with pytest.raises(UnauthenticatedError):
                await node.push_reply(whole(link.reply_to(sent)), 0.5)

    on_a_served_link(link, body)
    assert "message.answered" not in link.kinds()


def test_a_frame_of_a_node_that_is_gone_is_not_read(
    link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(_served: Served, line: RawLine, node_id: NodeId) -> None:
        monkeypatch.setattr(lines._Line, "_look", never)
        run, _ = link.running()
        sent = link.send(run, node_id)
        await in_thread(link.nodes.unregister_self, node_id)
        await line.say(NodeSays(replies=[(whole(link.reply_to(sent)), 0.5)]))
        assert (await line.end())[0] is grpc.StatusCode.UNAUTHENTICATED

    async def never(_line: Any, _in_hand: Any) -> None:
        return None

    on_a_raw_line(link, body)
    assert "message.answered" not in link.kinds()


def test_a_line_on_which_nobody_was_heard_ends(link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "require_interval", lambda _interval_s: None)
    monkeypatch.setattr(lines._Line, "_note_heard", note)

    async def body(_served: Served, line: RawLine, _node_id: NodeId) -> None:
        assert (await line.end())[0] is grpc.StatusCode.UNAVAILABLE

    on_a_raw_line(link, body, heartbeat_interval=0.1)


def note(line: Any) -> None:
    line._heard_at = asyncio.get_running_loop().time()


def test_replies_that_are_ready_together_share_frames(link: Link) -> None:
    async def body(served: Served) -> None:
        node, node_id = await joined(served)
        run, _ = link.running()
        sent = [link.send(run, node_id, group_id=str(n)) for n in range(LINE_WINDOW)]
        while (await node.pull_messages()).deliveries[-1].envelope.message_id != sent[
            -1
        ].message_id:
            pass
        line: Any = node._line.now
        before = line._seal._number
        replies = [whole(link.reply_to(one)) for one in sent]
        assert await asyncio.gather(*(node.push_reply(one, 0.5) for one in replies)) == [[]] * 8
        assert line._seal._number - before <= 2

    on_a_served_link(link, body)
    assert link.kinds().count("message.answered") == LINE_WINDOW


def test_a_message_costs_one_frame_each_way(link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    came: list[LinkSays] = []

    def note(frame: bytes) -> LinkSays:
        came.append(decode_link_frame(frame))
        return came[-1]

    monkeypatch.setattr(client_line, "decode_link_frame", note)
    # A loud machine must not send what waits for company.
    monkeypatch.setattr(taking, "_COMPANY_S", SOON_S)

    async def body(served: Served) -> None:
        node, node_id = await joined(served)
        run, _ = link.running()
        sending: list[asyncio.Task[Any]] = []
        held = asyncio.create_task(node.pull_messages([run.run_id]))
        for number in range(6):
            sent = link.instruction(run, node_id, group_id=str(number))
            link.messages.enqueue(run.run_id, [whole(sent)])
            (delivery,) = (await held).deliveries
            asked = delivery.envelope.message_id
            held = asyncio.create_task(node.pull_messages([run.run_id], [asked]))
            reply = whole(link.reply_to(sent))
            sending.append(asyncio.create_task(node.push_reply(reply, 0.5)))
            await served.wakeups.until(
                [topics.answer(asked)], partial(answered, link, run.run_id, sent), timeout=INTERVAL
            )
        line: Any = node._line.now
        assert line._seal._number == 1 + 6  # one says which runs it has
        assert [len(frame.deliveries) for frame in came] == [1] * 6
        assert [len(frame.answers) for frame in came] == [0, *[1] * 5]
        for task in (held, *sending):
            task.cancel()

    on_a_served_link(link, body)


@pytest.mark.row("S12", "S60")
def test_who_waits_on_a_line_takes_an_instruction_with_the_transaction_that_stores_it(
    link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def body(served: Served, line: RawLine, node_id: NodeId) -> None:
        run, token = link.running()
        await looked(served, line)
        monkeypatch.setattr(link.messages, "deliver", None)  # nobody looks for it
        for number in range(3):
            sent = link.instruction(run, node_id, group_id=str(number))
            await pushed(served, token, run, [sent])
            (delivery,) = (await line.hear()).deliveries
            assert (delivery, delivery.contents) == (sent.delivery, sent.objects)
            reply = whole(link.reply_to(sent))
            await line.say(NodeSays(taken=number + 1, replies=[(reply, 0.5)]))
            assert [one.missing for one in (await line.hear()).answers] == [[]]
        assert link.messages.knows_none(node_id)

    on_a_raw_line(link, body)
    kinds = [kind for kind in link.kinds() if kind.startswith("message.")]
    assert kinds == ["message.enqueued", "message.claimed", "message.answered"] * 3


def test_answers_that_are_many_wait_for_nothing(
    link: Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taking, "_COMPANY_S", 60.0)

    async def body(_served: Served, line: RawLine, node_id: NodeId) -> None:
        run, _ = link.running()
        sent = [link.send(run, node_id, group_id=str(n)) for n in range(LINE_OWED)]
        came = 0
        while came < len(sent):  # no frame with an instruction can take some answers along, then
            came += len((await line.hear()).deliveries)
        for one in sent:
            await line.say(NodeSays(replies=[(whole(link.reply_to(one)), 0.5)]))
        answers = 0
        while answers < LINE_OWED:
            answers += len((await line.hear()).answers)

    on_a_raw_line(link, body)


def test_what_does_not_fit_a_line_waits_its_turn(link: Link) -> None:
    async def body(served: Served, line: RawLine, node_id: NodeId) -> None:
        run, token = link.running()
        await looked(served, line)
        batches = [LINE_WINDOW - 1, 3, 1]  # the second one has no room, the third must not pass it
        numbers = iter(range(sum(batches)))
        sent: list[Sent] = []
        for count in batches:
            these = [
                link.instruction(run, node_id, group_id=str(next(numbers))) for _ in range(count)
            ]
            await pushed(served, token, run, these)
            sent += these
        came: list[Delivery] = []
        while len(came) < LINE_WINDOW:
            came += (await line.hear()).deliveries
        await line.say(NodeSays(taken=LINE_WINDOW))
        while len(came) < len(sent):
            came += (await line.hear()).deliveries
        order = [one.message_id for one in sent]
        assert [order.index(d.envelope.message_id) for d in came] == list(range(len(sent)))

    on_a_raw_line(link, body)


@pytest.mark.row("F2")
def test_what_was_granted_to_a_line_that_ended_waits_again(link: Link) -> None:
    async def body(served: Served) -> None:
        node = await served.node()
        run, token = link.running()
        node_id = NodeId(node.node_id)
        first = await raw_line(served, node.node_id, node.key)
        await looked(served, first)
        ended: Any = served.takers._takers[node_id]
        ended.end()
        served.takers.add(node_id, Late(ended))  # it ends between the grant and the hand-over
        sent = link.instruction(run, node_id)
        await pushed(served, token, run, [sent])
        second = await raw_line(served, node.node_id, node.key)
        (again,) = (await second.hear()).deliveries
        assert again.envelope.message_id == sent.message_id
        second.call.cancel()

    on_a_served_link(link, body)


@dataclass
class Late:
    """A line that ends as soon as something was granted to it."""

    line: Any
    room: int = 1

    def take(self, delivery: Delivery) -> bool:
        taken: bool = self.line.take(delivery)
        return taken


async def answered(link: Link, run_id: RunId, sent: Sent) -> bool | None:
    return bool(link.messages.collect(run_id, [sent.message_id])) or None


def test_run_ids_of_a_line_are_whole_numbers() -> None:
    said = NodeSays(active=[RunId(2**64 - 1), RunId(7)])
    frame = line_pb2.NodeFrame.FromString(encode_node_frame(said))
    assert list(frame.active.run_ids) == said.active
