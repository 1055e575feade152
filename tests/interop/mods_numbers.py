"""Prints what the privacy mods make of seeded random updates, with the release that runs this."""

import json
import sys
from functools import partial
from typing import Any

import numpy as np

from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.client.typing import Mod
from flwr.clientapp.mod import LocalDpMod, adaptiveclipping_mod, fixedclipping_mod

SHAPES = [(20, 30), (7,), (2, 3, 4)]
MODS: dict[str, Mod] = {
    "fixed": fixedclipping_mod,
    "adaptive": adaptiveclipping_mod,
    "local": LocalDpMod(2.0, 0.0, 1.0, 1e-5),
}


def record(random: Any, scale: float, kind: str) -> ArrayRecord:
    return ArrayRecord([random.normal(0, scale, shape).astype(kind) for shape in SHAPES])


def respond(answer: RecordDict, message: Message, _: Context) -> Message:
    return Message(answer, reply_to=message)


def main() -> None:
    random = np.random.RandomState(5)
    context = Context(1, 5, {}, RecordDict(), {})
    told: dict[str, Any] = {}
    for name, mod in MODS.items():
        for kind in ("float32", "float64"):
            for scale in (0.01, 1.0, 100.0):
                received, trained = (record(random, scale, kind) for _ in range(2))
                config = ConfigRecord({"clipping_norm": 2.0})
                content = RecordDict({"arrays": received, "config": config})
                message = Message(content, 5, "train")
                vars(message.metadata).update(_message_id="a", _src_node_id=1)
                answer = RecordDict({"arrays": trained, "metrics": MetricRecord({"n": 1})})
                reply = mod(message, context, partial(respond, answer))
                told[f"{name} {kind} {scale}"] = [
                    [
                        (a.dtype, a.numpy().tolist())
                        for a in reply.content.array_records["arrays"].values()
                    ],
                    dict(reply.content.metric_records["metrics"]),
                ]
    json.dump(told, sys.stdout)


if __name__ == "__main__":
    main()
