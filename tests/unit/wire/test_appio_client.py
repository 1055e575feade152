from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

import pytest
from google.protobuf.message import Message as ProtoMessage

from flwr.app.configrecord import ConfigRecord
from flwr.app.context import Context
from flwr.app.message import Message
from flwr.app.recorddict import RecordDict
from flwr.core.errors import InvalidError, NotFoundError
from flwr.core.ids import MessageId, NodeId, ObjectId, RunId
from flwr.core.limits import OBJECT_POLL_CAP
from flwr.core.message import Delivery
from flwr.proto import appio_pb2, fab_pb2, message_pb2, node_pb2, run_pb2, serverappio_pb2
from flwr.proto.compose.v1 import launches_pb2
from flwr.wire import metadata as keys
from flwr.wire.clients.appio import (
    ClientAppIoClient,
    ObjectNeverCameError,
    ObjectRefusedError,
    ServerAppIoClient,
)
from flwr.wire.codec.contexts import encode_context
from flwr.wire.codec.deliveries import read_deliveries, read_received, write_deliveries
from flwr.wire.codec.messages import encode_deliveries
from flwr.wire.objects import deflate
from flwr.wire.transport import NO_METADATA
from tests.fakes.clock import FakeClock
from tests.fakes.plain_caller import PlainCaller

RUN = RunId(2**63 + 1)
OBJECT = ObjectId("a" * 64)


class FakePeer(PlainCaller):
    """A caller that answers every method with one prepared response after another."""

    def __init__(self, **answers: Sequence[ProtoMessage]) -> None:
        self._answers = {name: iter(responses) for name, responses in answers.items()}
        self.calls: list[tuple[str, bytes, Mapping[str, str]]] = []

    def call(
        self,
        method: str,
        request: bytes,
        *,
        timeout: float | None = None,
        metadata: Mapping[str, str] = NO_METADATA,
    ) -> bytes:
        assert timeout is not None, "a call without an end"
        self.calls.append((method, request, metadata))
        return next(self._answers[method.rpartition("/")[2]]).SerializeToString()


def pulled(found: bool, content: bytes | None = None) -> message_pb2.PullObjectResponse:
    return message_pb2.PullObjectResponse(
        object_found=found, object_available=content is not None, object_content=content or b""
    )


def waiting(clock: FakeClock, naps: list[float]) -> Callable[[float], None]:
    def pause(seconds: float) -> None:
        naps.append(seconds)
        clock.advance(timedelta(seconds=seconds))

    return pause


def delivery() -> Delivery:
    sent = deflate(Message(RecordDict({"c": ConfigRecord({"k": 1})}), 7, "train"))
    return Delivery(sent.envelope, sent.tree)


def test_a_late_object_is_awaited_with_growing_pauses() -> None:
    peer = FakePeer(PullObject=[*[pulled(True)] * 8, pulled(True, b"")])
    clock, naps = FakeClock(), list[float]()
    client = ServerAppIoClient(peer, clock=clock, pause=waiting(clock, naps))

    assert client.get_object(RUN, OBJECT) == b""

    assert naps == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 2.0, 2.0]
    request = message_pb2.PullObjectRequest.FromString(peer.calls[0][1])
    assert (request.node.node_id, request.run_id, request.object_id) == (1, RUN, OBJECT)


def test_an_object_that_never_comes_is_given_up() -> None:
    peer = FakePeer(PullObject=[pulled(True)] * 100)
    clock, naps = FakeClock(), list[float]()
    client = ServerAppIoClient(peer, clock=clock, pause=waiting(clock, naps))

    with pytest.raises(ObjectNeverCameError, match="did not come within 0:00:30"):
        client.get_object(RUN, OBJECT, patience=timedelta(seconds=30))

    assert 30 <= sum(naps) <= 30 + OBJECT_POLL_CAP.total_seconds()


def test_an_unknown_object_is_not_awaited() -> None:
    with pytest.raises(NotFoundError):
        ServerAppIoClient(FakePeer(PullObject=[pulled(False)])).get_object(RUN, OBJECT)


def test_a_refused_object_is_an_error() -> None:
    answers = [message_pb2.PushObjectResponse(stored=stored) for stored in (True, False)]
    client = ServerAppIoClient(FakePeer(PushObject=answers))

    client.put_object(RUN, OBJECT, b"content")
    with pytest.raises(ObjectRefusedError):
        client.put_object(RUN, OBJECT, b"content")


def test_a_refused_instruction_has_no_id() -> None:
    sent = delivery()
    response = appio_pb2.PushAppMessagesResponse(
        message_ids=[sent.envelope.message_id, ""], objects_to_push=[OBJECT]
    )
    peer = FakePeer(PushMessages=[response])

    pushed = ServerAppIoClient(peer).push_messages(RUN, [sent, sent])

    assert pushed.message_ids == [sent.envelope.message_id, None]
    assert pushed.wanted == [OBJECT]
    request = appio_pb2.PushAppMessagesRequest.FromString(peer.calls[0][1])
    assert (request.token, request.run_id, len(request.message_object_trees)) == ("", RUN, 2)
    assert request.messages_list[0].HasField("content")


def test_replies_are_asked_for_with_the_wish_how_long_to_wait() -> None:
    sent = delivery()
    messages, trees = encode_deliveries([sent])
    response = appio_pb2.PullAppMessagesResponse(messages_list=messages, message_object_trees=trees)
    peer = FakePeer(PullMessages=[response])

    got = ServerAppIoClient(peer).pull_messages(RUN, [MessageId(OBJECT)], wait=keys.WAIT_ANY)

    assert (got.deliveries, got.online) == ([sent], [])
    assert peer.calls[0][0] == "/flwr.proto.ServerAppIo/PullMessages"
    assert peer.calls[0][2] == {"flwr-compose-wait": "any", "flwr-compose-enclose": "1"}


def test_small_messages_bring_their_objects_and_are_confirmed_with_the_next_pull() -> None:
    sent = deflate(Message(RecordDict({"c": ConfigRecord({"k": 1})}), 7, "train")).delivery()
    response = appio_pb2.PullAppMessagesResponse()
    write_deliveries(response, [sent])
    pushed = appio_pb2.PushAppMessagesResponse(message_ids=[sent.envelope.message_id])
    peer = FakePeer(PushMessages=[pushed], PullMessages=[response])
    client = ServerAppIoClient(peer)

    client.push_messages(RUN, [sent])
    pulled = client.pull_messages(RUN, [MessageId(OBJECT)], received=[MessageId("b" * 64)])

    assert pulled.deliveries[0].contents == sent.contents
    (push, pull) = (request for _, request, _ in peer.calls)
    assert read_deliveries(appio_pb2.PushAppMessagesRequest.FromString(push))[0].is_whole
    asked = appio_pb2.PullAppMessagesRequest.FromString(pull)
    assert list(asked.message_ids) == [OBJECT]
    assert read_received(asked) == ["b" * 64]


def test_nodes_are_those_the_superlink_names() -> None:
    response = serverappio_pb2.GetNodesResponse(
        nodes=[node_pb2.Node(node_id=2**64 - 1), node_pb2.Node(node_id=2)]
    )

    assert ServerAppIoClient(FakePeer(GetNodes=[response])).nodes(RUN) == [2**64 - 1, 2]


def test_a_clientapp_speaks_for_its_node_once_it_has_its_inputs() -> None:
    context = Context(RUN, 77, {"partition-id": 3}, RecordDict(), {"lr": 0.5})
    inputs = appio_pb2.PullAppInputsResponse(
        context=encode_context(context),
        run=run_pb2.Run(run_id=RUN, status=run_pb2.RunStatus(status="running")),
        fab=fab_pb2.Fab(hash_str="f" * 64, content=b"zip", verifications={"a": "b"}),
    )
    peer = FakePeer(
        PullAppInputs=[inputs],
        ConfirmMessageReceived=[message_pb2.ConfirmMessageReceivedResponse()],
    )
    client = ClientAppIoClient(peer)

    got = client.pull_inputs()
    client.confirm(RUN, MessageId(OBJECT))

    assert got.context == context
    assert got.run.run_id == RUN
    assert got.fab is not None
    assert (got.fab.content, dict(got.fab.verifications)) == (b"zip", {"a": "b"})
    confirmed = message_pb2.ConfirmMessageReceivedRequest.FromString(peer.calls[1][1])
    assert (confirmed.node.node_id, confirmed.run_id) == (77, RUN)
    assert client.node_id == NodeId(77)


def test_inputs_without_a_bundle_have_none() -> None:
    inputs = appio_pb2.PullAppInputsResponse(
        run=run_pb2.Run(status=run_pb2.RunStatus(status="running"))
    )

    assert ServerAppIoClient(FakePeer(PullAppInputs=[inputs])).pull_inputs().fab is None


def test_a_clientapp_gets_its_inputs_and_its_one_instruction() -> None:
    sent = delivery()
    messages, trees = encode_deliveries([sent])
    full = appio_pb2.PullAppMessagesResponse(messages_list=messages, message_object_trees=trees)
    inputs = appio_pb2.PullAppInputsResponse(
        context=message_pb2.Context(run_id=RUN, node_id=77),
        run=run_pb2.Run(run_id=RUN, status=run_pb2.RunStatus(status="running")),
    ).SerializeToString()
    taken = launches_pb2.TakeResponse(inputs=inputs, message=full.SerializeToString())
    client = ClientAppIoClient(FakePeer(Take=[taken, launches_pb2.TakeResponse(inputs=inputs)]))

    got = client.take()

    assert (got.run_id, got.fab, client.node_id) == (RUN, None, 77)
    assert got.instruction == sent
    with pytest.raises(NotFoundError):
        client.take()


def test_a_context_goes_back_whole() -> None:
    context = Context(RUN, 77, {}, RecordDict({"c": ConfigRecord({"n": 1})}), {})
    peer = FakePeer(PushAppOutputs=[appio_pb2.PushAppOutputsResponse()])

    ClientAppIoClient(peer).push_outputs(context)

    request = appio_pb2.PushAppOutputsRequest.FromString(peer.calls[0][1])
    assert request.context == encode_context(context)


def test_an_unknown_run_is_none() -> None:
    assert ClientAppIoClient(FakePeer(GetRun=[run_pb2.GetRunResponse()])).get_run(RUN) is None


def test_an_unreadable_answer_is_an_error_of_the_call() -> None:
    class Garbage(PlainCaller):
        def call(self, method: str, request: bytes, **_: object) -> bytes:
            return b"\xff\xff"

    with pytest.raises(InvalidError, match="answer to GetNodes"):
        ServerAppIoClient(Garbage()).nodes(RUN)
