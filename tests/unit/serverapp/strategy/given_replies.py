"""Builders of models and replies."""

from typing import Any

import numpy as np

from flwr.app import ArrayRecord, Error, Message, MetricRecord, RecordDict
from flwr.app.metadata import stamp

SPREAD: list[tuple[list[float], int, float]] = [
    ([2, 4], 1, 0.1),
    ([4, -2], 3, 0.2),
    ([0.1, 1], 7, 0.4),
]
"""Model, number of examples and loss of three clients; upstream 1.29.0 was run on the same."""


def model(*values: float, dtype: str = "float32") -> ArrayRecord:
    return ArrayRecord([np.array(values, dtype)])


def floats(arrays: ArrayRecord | None) -> list[float]:
    assert arrays is not None
    return [float(value) for value in arrays["0"].numpy()]


def asked(node: int = 101) -> Message:
    message = Message(RecordDict(), node, "train")
    stamp(message.metadata, run_id=7, message_id=f"ask {node}", src_node_id=1)
    return message


def content(arrays: ArrayRecord | None = None, **metrics: Any) -> RecordDict:
    records = RecordDict({"metrics": MetricRecord(metrics)}) if metrics else RecordDict()
    if arrays is not None:
        records["arrays"] = arrays
    return records


def weighted(arrays: ArrayRecord | None, weight: Any = 1, **metrics: Any) -> RecordDict:
    return content(arrays, **{"num-examples": weight, **metrics})


def reply(records: RecordDict, node: int = 101) -> Message:
    return Message(records, reply_to=asked(node))


def failure(node: int = 101) -> Message:
    return Message(Error(2, "boom"), reply_to=asked(node))


def spread() -> list[Message]:
    return [
        reply(weighted(model(*values), examples, loss=loss, **{"per-class": [loss, 1.0]}))
        for values, examples, loss in SPREAD
    ]
