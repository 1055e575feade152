"""Objects equal those of upstream byte for byte, in both directions (vectors.json)."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from flwr.app.array import Array
from flwr.app.arrayrecord import ArrayRecord
from flwr.app.configrecord import ConfigRecord
from flwr.app.error import Error
from flwr.app.message import Message, restore
from flwr.app.metadata import Metadata
from flwr.app.metricrecord import MetricRecord
from flwr.app.recorddict import RecordDict
from flwr.core.ids import ObjectId
from flwr.wire.object_format import check_object, object_id_of
from flwr.wire.objects import deflate, inflate

VECTORS = json.loads((Path(__file__).parent / "vectors.json").read_text())["objects"]
RUN, NODE = 12345678901234567890, 9876543210987654321


def array_f32() -> Array:
    return Array(np.arange(6, dtype=np.float32).reshape(2, 3))


def array_f64() -> Array:
    return Array(np.array(3.5))


def array_record() -> ArrayRecord:
    return ArrayRecord({"w": array_f32(), "b": array_f64(), "w2": array_f32()})


def config_record() -> ConfigRecord:
    return ConfigRecord(
        {
            "lr": 0.5,
            "n": 3,
            "neg": -2,
            "big": 2**63 + 5,
            "flag": True,
            "s": "héllo",
            "b": b"\x00\x01",
            "li": [1, -2, 3],
            "lf": [0.5, 1.5],
            "lb": [True, False],
            "ls": ["a", "b"],
            "lby": [b"x", b"yy"],
            "lu": [1, 2**63],
            "le": [],
        },
    )


def metric_record() -> MetricRecord:
    return MetricRecord(
        {"loss": 0.25, "num-examples": 10, "hist": [1, 2, 3], "fl": [0.1, 0.2], "e": []},
    )


def records() -> RecordDict:
    expected = [VECTORS[n] for n in ("arrayrecord", "metricrecord", "configrecord_all_types")]
    kinds = {e["object_id"]: e for e in expected}
    names = json.loads(bytes.fromhex(VECTORS["recorddict"]["content_hex"]).split(b"\0", 1)[1])
    made: dict[str, ArrayRecord | MetricRecord | ConfigRecord] = {
        VECTORS["arrayrecord"]["object_id"]: array_record(),
        VECTORS["metricrecord"]["object_id"]: metric_record(),
        VECTORS["configrecord_all_types"]["object_id"]: config_record(),
    }
    assert set(names.values()) == set(kinds)
    return RecordDict({name: made[object_id] for name, object_id in names.items()})


def instruction(content: RecordDict) -> Message:
    return restore(Metadata(RUN, "", 1, NODE, "", "3", 1772000000.5, 43200.0, "train"), content)


def reply(content: RecordDict | None = None, error: Error | None = None) -> Message:
    asked = VECTORS["message_instruction"]["object_id"]
    metadata = Metadata(RUN, "", NODE, 1, asked, "3", 1772000010.25, 43100.25, "train")
    return restore(metadata, content, error)


@dataclass
class Arrived:
    """Counts what was asked for."""

    objects: dict[ObjectId, bytes]
    asked: list[ObjectId]

    def get(self, object_id: ObjectId) -> bytes:
        self.asked.append(object_id)
        return self.objects[object_id]


CASES: dict[str, Callable[[], Message]] = {
    "arraychunk_f32_2x3": lambda: instruction(RecordDict({"a": ArrayRecord({"w": array_f32()})})),
    "array_f32_2x3": lambda: instruction(RecordDict({"a": ArrayRecord({"w": array_f32()})})),
    "array_f64_scalar": lambda: instruction(RecordDict({"a": ArrayRecord({"w": array_f64()})})),
    "array_f32_zeros_3e6": lambda: instruction(zeros(3_000_000)),
    "array_f32_zeros_5e6_repeated_chunk": lambda: instruction(zeros(5_000_000)),
    "configrecord_all_types": lambda: instruction(RecordDict({"c": config_record()})),
    "configrecord_empty": lambda: instruction(RecordDict({"c": ConfigRecord()})),
    "metricrecord": lambda: instruction(RecordDict({"m": metric_record()})),
    "arrayrecord": lambda: instruction(RecordDict({"a": array_record()})),
    "recorddict": lambda: instruction(records()),
    "recorddict_empty": lambda: instruction(RecordDict()),
    "message_instruction": lambda: instruction(records()),
    "message_reply": lambda: reply(RecordDict()),
    "message_error_reply": lambda: reply(error=Error(2, reason_of("message_error_reply"))),
    "message_error_code0": lambda: reply(error=Error(0)),
}


def zeros(size: int) -> RecordDict:
    return RecordDict({"a": ArrayRecord({"w": Array(np.zeros(size, dtype=np.float32))})})


def reason_of(name: str) -> str:
    """Read the free text of an error: what follows the last length byte of the object."""
    content = bytes.fromhex(VECTORS[name]["content_hex"])
    start = content.rindex(b"\x12", 0, content.index(b"ZeroDivisionError"))
    return content[start + 2 :].decode()


def test_every_object_vector_has_a_case() -> None:
    assert CASES.keys() == VECTORS.keys()


@pytest.mark.parametrize("name", CASES)
def test_an_object_has_upstreams_id_and_bytes(name: str) -> None:
    vector = VECTORS[name]

    objects = deflate(CASES[name]()).objects

    content = objects[vector["object_id"]].make()
    assert len(content) == vector["content_len"]
    assert content.hex() == vector["content_hex"]
    assert object_id_of(content) == vector["object_id"]
    check_object(content)


@pytest.mark.parametrize("name", CASES)
def test_a_message_survives_the_way_through_its_objects(name: str) -> None:
    sent = deflate(CASES[name]())
    arrived = Arrived({i: source.make() for i, source in sent.objects.items()}, [])

    message = inflate(sent.envelope, sent.tree, arrived.get)

    assert arrived.asked == list(sent.tree.walk())
    assert message.metadata.message_id == sent.envelope.message_id
    assert ObjectId(sent.envelope.message_id) == sent.tree.object_id
    assert described(message) == described(CASES[name]())


def test_upstreams_own_bytes_of_an_instruction_are_read(vector_objects: dict[Any, bytes]) -> None:
    sent = deflate(instruction(records()))

    message = inflate(sent.envelope, sent.tree, vector_objects.__getitem__)

    assert described(message) == described(instruction(records()))


@pytest.fixture
def vector_objects() -> dict[Any, bytes]:
    whole = {v["object_id"]: bytes.fromhex(v["content_hex"]) for v in VECTORS.values()}
    (scalar,) = (
        deflate(CASES["array_f64_scalar"]()).tree.children[0].children[0].children[0].children
    )
    chunk = deflate(CASES["array_f64_scalar"]()).objects[scalar.object_id].make()
    return {**whole, scalar.object_id: chunk}


def described(message: Message) -> Iterable[object]:
    metadata = message.metadata
    return (
        (metadata.run_id, metadata.src_node_id, metadata.dst_node_id, metadata.group_id),
        (metadata.created_at, metadata.ttl, metadata.message_type, metadata.reply_to_message_id),
        list(message.content.items()) if message.has_content() else message.error,
    )
