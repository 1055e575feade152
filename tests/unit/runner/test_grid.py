import threading
import time
import weakref
from collections.abc import Mapping
from types import SimpleNamespace

import numpy as np
import pytest

from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.core.errors import UnavailableError
from flwr.core.ids import MessageId, NodeId, ObjectId
from flwr.core.limits import ENCLOSED_CALL_BYTES, ENCLOSED_MESSAGE_BYTES
from flwr.core.message import Delivery, ErrorCode
from flwr.proto import appio_pb2, message_pb2, node_pb2, serverappio_pb2
from flwr.runner.app_caller import AppCaller
from flwr.runner.grid import AppIoGrid
from flwr.runner.outcome import RunEndedError
from flwr.serverapp.run_info import Run, describe
from flwr.wire.codec.deliveries import read_deliveries, read_received, write_deliveries
from flwr.wire.objects import deflate, inflate
from flwr.wire.transport import NO_METADATA, PeerNotRunningError
from tests import given
from tests.fakes.plain_caller import PlainCaller


class SuperLink(PlainCaller):
    """Answers the Grid's calls in this process; replies appear when told.

    ``is_plain``: it knows no objects that messages bring along, like upstream's.
    """

    def __init__(self, *, hold_s: float = 0.0, late_polls: int = 0, is_plain: bool = False) -> None:
        self.hold_s, self.late_polls, self.is_plain = hold_s, late_polls, is_plain
        self.received: list[str] = []
        self.objects: dict[str, bytes] = {}
        self.forgets = False
        self.announced: dict[MessageId, Delivery] = {}
        self.calls: list[str] = []
        self.waits: list[str | None] = []
        self.online = [NodeId(number) for number in range(10, 15)]
        self.asked_online: list[bool] = []
        self.silent_nodes: set[int] = set()
        self.verbose_nodes: set[int] = set()
        self.is_over = False

    def call(
        self,
        method: str,
        request: bytes,
        *,
        timeout: float | None = None,
        metadata: Mapping[str, str] = NO_METADATA,
    ) -> bytes:
        name = method.rsplit("/", 1)[1]
        self.calls.append(name)
        if self.is_over:
            raise PeerNotRunningError("Run is finished. Stopped by user.")
        if name == "PullMessages":
            assert metadata["flwr-compose-enclose"] == "1"
            self.waits.append(metadata.get("flwr-compose-wait"))
            self.asked_online.append("flwr-compose-online" in metadata)
            held_s = 0.0 if self.waits[-1] == "no" else self.hold_s
            if timeout is not None and timeout < held_s:
                time.sleep(timeout)  # what the pipe does
                raise UnavailableError("no answer in time")
        answer: bytes = getattr(self, name)(request).SerializeToString()
        return answer

    def PushMessages(self, request: bytes) -> appio_pb2.PushAppMessagesResponse:  # noqa: N802
        pushed = appio_pb2.PushAppMessagesRequest.FromString(request)
        deliveries = read_deliveries(pushed)
        if not self.is_plain:
            self.objects |= {key: data for one in deliveries for key, data in one.contents.items()}
        self.announced |= {one.envelope.message_id: one for one in deliveries}
        ids = [key for one in deliveries for key in one.tree.walk()]
        lacking = [key for key in dict.fromkeys(ids) if key not in self.objects]
        return appio_pb2.PushAppMessagesResponse(
            message_ids=[one.envelope.message_id for one in deliveries], objects_to_push=lacking
        )

    def PushObject(self, request: bytes) -> message_pb2.PushObjectResponse:  # noqa: N802
        pushed = message_pb2.PushObjectRequest.FromString(request)
        self.objects[pushed.object_id] = pushed.object_content
        return message_pb2.PushObjectResponse(stored=True)

    def PullMessages(self, request: bytes) -> appio_pb2.PullAppMessagesResponse:  # noqa: N802
        pull = appio_pb2.PullAppMessagesRequest.FromString(request)
        self.received += read_received(pull)
        self.late_polls -= 1
        replies = [] if self.late_polls >= 0 else [self._reply(key) for key in pull.message_ids]
        response = appio_pb2.PullAppMessagesResponse()
        online = self.online if self.asked_online[-1] and not self.is_plain else []
        write_deliveries(response, [reply for reply in replies if reply], online=online)
        return response

    def GetNodes(self, _request: bytes) -> serverappio_pb2.GetNodesResponse:  # noqa: N802
        nodes = [node_pb2.Node(node_id=node_id) for node_id in self.online]
        return serverappio_pb2.GetNodesResponse(nodes=nodes)

    def _reply(self, message_id: str) -> Delivery | None:
        announced = self.announced[MessageId(message_id)]
        if announced.envelope.dst_node_id in self.silent_nodes:
            return None
        message = inflate(announced.envelope, announced.tree, self._object)
        content = RecordDict({"metrics": MetricRecord({"node": message.metadata.dst_node_id})})
        if message.metadata.dst_node_id in self.verbose_nodes:
            content["arrays"] = ArrayRecord([np.zeros(ENCLOSED_MESSAGE_BYTES, dtype=np.uint8)])
        parts = deflate(Message(content, reply_to=message))
        self.objects |= {key: source.make() for key, source in parts.objects.items()}
        return Delivery(parts.envelope, parts.tree) if self.is_plain else parts.delivery()

    def _object(self, object_id: ObjectId) -> bytes:
        return self.objects[object_id]

    def PullObject(self, request: bytes) -> message_pb2.PullObjectResponse:  # noqa: N802
        key = message_pb2.PullObjectRequest.FromString(request).object_id
        if self.forgets:
            return message_pb2.PullObjectResponse(object_found=False)
        return message_pb2.PullObjectResponse(
            object_found=True, object_available=True, object_content=self.objects[key]
        )

    def ConfirmMessageReceived(  # noqa: N802
        self, _request: bytes
    ) -> message_pb2.ConfirmMessageReceivedResponse:
        return message_pb2.ConfirmMessageReceivedResponse()


def grid_of(superlink: SuperLink) -> AppIoGrid:
    return AppIoGrid(AppCaller(superlink), describe(given.running_run()))


def instructions(count: int, size: int = 1000) -> list[Message]:
    content = RecordDict({"arrays": ArrayRecord([np.zeros(size, dtype=np.uint8)])})
    return [Message(content, node_id, "train") for node_id in range(10, 10 + count)]


def test_a_round_of_small_messages_is_one_call_out_and_one_back() -> None:
    superlink = SuperLink()
    grid = grid_of(superlink)

    replies = list(grid.send_and_receive(instructions(5)))

    assert {reply.content["metrics"]["node"] for reply in replies} == {10, 11, 12, 13, 14}
    assert superlink.calls == ["PushMessages", "PullMessages"]
    assert superlink.waits == ["all"]
    assert superlink.received == []

    list(grid.send_and_receive(instructions(3)))

    assert superlink.calls[2:] == ["PushMessages", "PullMessages"]
    assert superlink.received == [reply.metadata.message_id for reply in replies]


def rounds(grid: AppIoGrid, count: int) -> list[list[int]]:
    seen = []
    for _ in range(count):
        seen.append(list(grid.get_node_ids()))
        list(grid.send_and_receive(instructions(2)))
    return seen


def test_replies_tell_who_is_online(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flwr.runner.grid._ONLINE_FOR_S", 60.0)
    superlink = SuperLink()
    grid = grid_of(superlink)
    seen = rounds(grid, 3)
    assert seen == [superlink.online] * 3
    assert superlink.calls == ["GetNodes", *["PushMessages", "PullMessages"] * 3]
    assert superlink.asked_online == [True] * 3

    assert list(grid.get_node_ids()) == superlink.online  # told with the last replies
    assert list(grid.get_node_ids()) == superlink.online  # asked: it may be another one by now
    assert superlink.calls.count("GetNodes") == 2


@pytest.mark.parametrize("what", ["long ago", "never told", "plain"])
def test_who_is_online_is_asked_where_replies_do_not_tell(
    monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr("flwr.runner.grid._ONLINE_FOR_S", 0.0 if what == "long ago" else 60.0)
    superlink = SuperLink(is_plain=what == "plain")
    grid = grid_of(superlink)
    if what == "never told":
        list(grid.send_and_receive(instructions(2)))
        assert superlink.asked_online == [False], "nobody wants to know"
        list(grid.get_node_ids())
        assert superlink.calls.count("GetNodes") == 1
    else:
        assert rounds(grid, 2) == [superlink.online] * 2
        assert superlink.calls.count("GetNodes") == 2


def test_small_messages_need_no_thread() -> None:
    before = set(threading.enumerate())  # some of other tests may end meanwhile
    list(grid_of(SuperLink()).send_and_receive(instructions(5)))
    assert set(threading.enumerate()) <= before


def test_a_superlink_of_the_plain_contract_is_sent_objects_one_by_one() -> None:
    superlink = SuperLink(is_plain=True)

    replies = list(grid_of(superlink).send_and_receive(instructions(5)))

    assert {reply.content["metrics"]["node"] for reply in replies} == {10, 11, 12, 13, 14}
    # chunk, Array, ArrayRecord, RecordDict once; then one Message each
    assert superlink.calls.count("PushObject") == 4 + 5
    assert superlink.calls.count("PullObject") == 5 * 3
    assert superlink.calls.count("ConfirmMessageReceived") == 5


def test_large_messages_are_waited_for_one_by_one_and_confirmed_at_once() -> None:
    superlink = SuperLink()
    superlink.verbose_nodes = {11}

    replies = list(grid_of(superlink).send_and_receive(instructions(2, ENCLOSED_MESSAGE_BYTES)))

    assert {reply.content["metrics"]["node"] for reply in replies} == {10, 11}
    assert superlink.waits == ["any"]
    assert superlink.calls.count("ConfirmMessageReceived") == 1


def test_replies_are_fetched_one_by_one_as_they_are_taken_and_not_kept() -> None:
    superlink = SuperLink()
    superlink.verbose_nodes = {10, 11, 12}
    replies = iter(grid_of(superlink).stream(instructions(3)))

    assert superlink.calls == ["PushMessages"]  # sent before anybody looks at the first reply
    next(replies)
    assert superlink.calls.count("ConfirmMessageReceived") == 1
    second = next(replies)
    assert superlink.calls.count("ConfirmMessageReceived") == 2
    forgotten = weakref.ref(second)
    del second
    assert forgotten() is None
    assert len(list(replies)) == 1


def test_replies_that_wait_while_others_are_folded_count_though_time_is_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    passed_s = 0.0
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + passed_s)
    monkeypatch.setattr("flwr.runner.grid.time", clock)
    superlink = SuperLink()
    superlink.verbose_nodes = {10, 11}
    superlink.silent_nodes = {11}
    replies = iter(grid_of(superlink).stream(instructions(2), timeout=60))

    next(replies)
    superlink.silent_nodes = set()
    passed_s = 61.0  # with the first one
    assert len(list(replies)) == 1


def test_what_messages_bring_along_is_spread_over_calls_that_have_room() -> None:
    superlink = SuperLink()
    size = ENCLOSED_MESSAGE_BYTES - 4096
    messages = [
        Message(RecordDict({"a": ArrayRecord([np.full(size, n, dtype=np.uint8)])}), n, "train")
        for n in range(10, 10 + ENCLOSED_CALL_BYTES // size + 1)
    ]

    grid_of(superlink).push_messages(messages)

    assert superlink.calls == ["PushMessages", "PushMessages"]


def test_shared_content_travels_once() -> None:
    superlink = SuperLink()
    grid_of(superlink).push_messages(instructions(40, ENCLOSED_MESSAGE_BYTES))
    # chunk, Array, ArrayRecord, RecordDict once; then one Message each
    assert superlink.calls.count("PushObject") == 4 + 40


def test_pushing_stamps_messages_and_pulling_at_once_does_not_wait() -> None:
    superlink, messages = SuperLink(), instructions(2)
    grid = grid_of(superlink)

    ids = list(grid.push_messages(messages))

    assert [message.metadata.message_id for message in messages] == ids
    assert {message.metadata.run_id for message in messages} == {grid.run.run_id}
    assert len(list(grid.pull_messages(ids))) == 2
    assert superlink.waits == ["no"]


def test_a_superlink_that_does_not_hold_is_polled_with_growing_pauses() -> None:
    superlink = SuperLink(late_polls=4)
    started = time.monotonic()

    replies = list(grid_of(superlink).send_and_receive(instructions(1)))

    assert len(replies) == 1
    assert superlink.calls.count("PullMessages") == 5
    assert time.monotonic() - started < 30


@pytest.mark.parametrize("hold_s", [0.0, 20.0])
def test_what_is_not_answered_in_time_is_missing(hold_s: float) -> None:
    superlink = SuperLink()
    superlink.silent_nodes = {11}
    superlink.hold_s = hold_s
    started = time.monotonic()

    replies = list(grid_of(superlink).send_and_receive(instructions(2), timeout=0.3))

    assert len(replies) == 1
    assert superlink.waits[-1] == ("all" if hold_s == 0.0 else "no")
    assert 0.25 < time.monotonic() - started < 20


def test_a_reply_whose_content_is_gone_becomes_an_error() -> None:
    superlink, messages = SuperLink(is_plain=True), instructions(2)
    grid = grid_of(superlink)
    ids = list(grid.push_messages(messages))
    superlink.forgets = True

    replies = list(grid.pull_messages(ids))

    assert [reply.error.code for reply in replies] == [ErrorCode.MESSAGE_UNAVAILABLE] * 2
    assert {reply.metadata.reply_to_message_id for reply in replies} == set(ids)


@pytest.mark.row("S63")
def test_the_end_of_the_run_comes_through_code_that_catches_exceptions() -> None:
    superlink = SuperLink()
    grid = grid_of(superlink)
    superlink.is_over = True

    with pytest.raises(RunEndedError, match="Stopped by user"):
        grid.send_and_receive(instructions(1))


def test_the_grid_knows_its_run_and_lets_nobody_change_it() -> None:
    grid = grid_of(SuperLink())
    grid.run.fab_id = "changed"
    assert grid.run.fab_id == "publisher/app"
    with pytest.raises(TypeError):
        grid.set_run("run")  # type: ignore[arg-type]
    assert isinstance(grid.run, Run)
