"""Messages equal upstream's byte for byte, where a codec makes them also through the codec."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pool, message_factory
from google.protobuf.message import Message

from flwr.core.ids import NodeId, ObjectId, RunId
from flwr.core.message import Delivery
from flwr.core.run import RunStatus
from flwr.proto import (
    appio_pb2,
    control_pb2,
    federation_config_pb2,
    fleet_pb2,
    heartbeat_pb2,
    message_pb2,
    run_pb2,
)
from flwr.wire.codec.config import (
    decode_config,
    decode_simulation,
    encode_config,
    encode_simulation,
)
from flwr.wire.codec.contexts import decode_context, encode_context
from flwr.wire.codec.messages import (
    decode_deliveries,
    decode_tree,
    encode_deliveries,
    encode_tree,
)
from flwr.wire.codec.runs import decode_run, encode_run
from flwr.wire.object_format import decode_message_object

VECTORS = json.loads((Path(__file__).parent / "vectors.json").read_text())
SAMPLES = VECTORS["protobuf_samples"]
NODE = NodeId(9876543210987654321)


def sample(name: str) -> bytes:
    return bytes.fromhex(SAMPLES[name]["hex"])


def new_message(name: str) -> Any:
    """Return an empty message of a type; the stubs of protobuf's pool are not typed."""
    pool: Any = descriptor_pool
    return message_factory.GetMessageClass(pool.Default().FindMessageTypeByName(name))()


def again(message: Message) -> bytes:
    return message.SerializeToString(deterministic=True)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_message_is_read_without_unknown_fields_and_written_alike(name: str) -> None:
    message = new_message(SAMPLES[name]["message"])

    message.ParseFromString(sample(name))
    message.DiscardUnknownFields()

    assert again(message) == sample(name)


def of_tree(content: bytes) -> bytes:
    return again(encode_tree(decode_tree(message_pb2.ObjectTree.FromString(content))))


def of_pushed_instruction(content: bytes) -> bytes:
    request = appio_pb2.PushAppMessagesRequest.FromString(content)
    messages, trees = encode_deliveries(
        decode_deliveries(request.messages_list, request.message_object_trees)
    )
    return again(
        appio_pb2.PushAppMessagesRequest(
            token=request.token,
            run_id=request.run_id,
            messages_list=messages,
            message_object_trees=trees,
        )
    )


def of_pushed_reply(content: bytes) -> bytes:
    request = fleet_pb2.PushMessagesRequest.FromString(content)
    messages, trees = encode_deliveries(
        decode_deliveries(request.messages_list, request.message_object_trees)
    )
    return again(
        fleet_pb2.PushMessagesRequest(
            node=request.node,
            messages_list=messages,
            message_object_trees=trees,
            clientapp_runtime_list=request.clientapp_runtime_list,
        )
    )


def of_run(content: bytes) -> bytes:
    return again(encode_run(decode_run(run_pb2.Run.FromString(content))))


def of_start_run(content: bytes) -> bytes:
    request = control_pb2.StartRunRequest.FromString(content)
    simulation = decode_simulation(request.override_federation_config)
    return again(
        control_pb2.StartRunRequest(
            fab=request.fab,
            override_config=encode_config(decode_config(request.override_config)),
            override_federation_config=encode_simulation(simulation)
            if request.HasField("override_federation_config")
            else None,
            app_spec=request.app_spec,
            federation=request.federation,
        )
    )


def of_simulation(content: bytes) -> bytes:
    config = federation_config_pb2.SimulationConfig.FromString(content)
    return again(encode_simulation(decode_simulation(config)))


def of_context(content: bytes) -> bytes:
    decoded = decode_context(message_pb2.Context.FromString(content))
    return encode_context(decoded).SerializeToString(deterministic=True)


@pytest.mark.parametrize(
    ("name", "through_codec"),
    [
        ("object_tree_of_message_instruction", of_tree),
        ("push_app_messages_request", of_pushed_instruction),
        ("push_messages_request_error_reply", of_pushed_reply),
        ("run", of_run),
        ("start_run_request", of_start_run),
        ("simulation_config_default", of_simulation),
        ("context_clientapp", of_context),
    ],
)
def test_what_the_codecs_read_they_write_alike(
    name: str, through_codec: Callable[[bytes], bytes]
) -> None:
    assert through_codec(sample(name)) == sample(name)


def test_the_sample_of_an_instruction_means_what_its_object_says() -> None:
    request = appio_pb2.PushAppMessagesRequest.FromString(sample("push_app_messages_request"))
    content = bytes.fromhex(VECTORS["objects"]["message_instruction"]["content_hex"])

    (got,) = decode_deliveries(request.messages_list, request.message_object_trees)

    assert got.envelope == decode_message_object(content)
    assert got.tree.object_id == ObjectId(VECTORS["objects"]["message_instruction"]["object_id"])
    assert isinstance(got, Delivery)


def test_the_sample_of_a_run_is_running() -> None:
    run = decode_run(run_pb2.Run.FromString(sample("run")))

    assert (run.run_id, run.status) == (RunId(12345678901234567890), RunStatus.RUNNING)
    assert run.fab_id == "acme/tiny-app"


def test_the_sample_of_a_heartbeat_names_node_and_interval() -> None:
    request = heartbeat_pb2.SendNodeHeartbeatRequest.FromString(
        sample("send_node_heartbeat_request")
    )

    assert (request.node.node_id, request.heartbeat_interval) == (NODE, 30.0)
