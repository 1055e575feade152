import time
from collections.abc import Mapping

import numpy as np
import pytest

from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict
from flwr.core.errors import UnavailableError
from flwr.core.ids import MessageId, ObjectId
from flwr.core.message import Delivery, ErrorCode
from flwr.proto import appio_pb2, message_pb2
from flwr.runner.app_caller import AppCaller
from flwr.runner.grid import AppIoGrid
from flwr.runner.outcome import RunEndedError
from flwr.serverapp.run_info import Run, describe
from flwr.wire.codec.messages import decode_deliveries, encode_deliveries
from flwr.wire.objects import deflate, inflate
from flwr.wire.transport import NO_METADATA, PeerNotRunningError
from tests import given


class SuperLink:
    """Answers the Grid's calls in this process; replies appear when told."""

    def __init__(self, *, hold_s: float = 0.0, late_polls: int = 0) -> None:
        self.hold_s, self.late_polls = hold_s, late_polls
        self.objects: dict[str, bytes] = {}
        self.forgets = False
        self.announced: dict[MessageId, Delivery] = {}
        self.calls: list[str] = []
        self.waits: list[str | None] = []
        self.silent_nodes: set[int] = set()
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
            self.waits.append(metadata.get("flwr-compose-wait"))
            if timeout is not None and timeout < self.hold_s:
                time.sleep(timeout)  # what the pipe does
                raise UnavailableError("no answer in time")
        answer: bytes = getattr(self, name)(request).SerializeToString()
        return answer

    def PushMessages(self, request: bytes) -> appio_pb2.PushAppMessagesResponse:  # noqa: N802
        pushed = appio_pb2.PushAppMessagesRequest.FromString(request)
        deliveries = decode_deliveries(pushed.messages_list, pushed.message_object_trees)
        self.announced = {one.envelope.message_id: one for one in deliveries}
        ids = [key for one in deliveries for key in one.tree.walk()]
        lacking = [key for key in dict.fromkeys(ids) if key not in self.objects]
        return appio_pb2.PushAppMessagesResponse(
            message_ids=list(self.announced), objects_to_push=lacking
        )

    def PushObject(self, request: bytes) -> message_pb2.PushObjectResponse:  # noqa: N802
        pushed = message_pb2.PushObjectRequest.FromString(request)
        self.objects[pushed.object_id] = pushed.object_content
        return message_pb2.PushObjectResponse(stored=True)

    def PullMessages(self, request: bytes) -> appio_pb2.PullAppMessagesResponse:  # noqa: N802
        asked = appio_pb2.PullAppMessagesRequest.FromString(request).message_ids
        self.late_polls -= 1
        replies = [] if self.late_polls >= 0 else [self._reply(key) for key in asked]
        messages, trees = encode_deliveries([reply for reply in replies if reply])
        return appio_pb2.PullAppMessagesResponse(messages_list=messages, message_object_trees=trees)

    def _reply(self, message_id: str) -> Delivery | None:
        announced = self.announced[MessageId(message_id)]
        if announced.envelope.dst_node_id in self.silent_nodes:
            return None
        message = inflate(announced.envelope, announced.tree, self._object)
        content = RecordDict({"metrics": MetricRecord({"node": message.metadata.dst_node_id})})
        parts = deflate(Message(content, reply_to=message))
        self.objects |= {key: source.make() for key, source in parts.objects.items()}
        return Delivery(parts.envelope, parts.tree)

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


def instructions(count: int) -> list[Message]:
    content = RecordDict({"arrays": ArrayRecord([np.zeros(1000)])})
    return [Message(content, node_id, "train") for node_id in range(10, 10 + count)]


def test_every_reply_comes_back_and_is_confirmed() -> None:
    superlink = SuperLink()

    replies = list(grid_of(superlink).send_and_receive(instructions(5)))

    assert {reply.content["metrics"]["node"] for reply in replies} == {10, 11, 12, 13, 14}
    assert superlink.calls.count("ConfirmMessageReceived") == 5
    assert superlink.waits == ["any"]


def test_shared_content_travels_once() -> None:
    superlink = SuperLink()
    grid_of(superlink).push_messages(instructions(40))
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
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("hold_s", [0.0, 20.0])
def test_what_is_not_answered_in_time_is_missing(hold_s: float) -> None:
    superlink = SuperLink()
    superlink.silent_nodes = {11}
    superlink.hold_s = hold_s
    started = time.monotonic()

    replies = list(grid_of(superlink).send_and_receive(instructions(2), timeout=0.3))

    assert len(replies) == (1 if hold_s == 0.0 else 0)
    assert 0.25 < time.monotonic() - started < 2


def test_a_reply_whose_content_is_gone_becomes_an_error() -> None:
    superlink, messages = SuperLink(), instructions(2)
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
