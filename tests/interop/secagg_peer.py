"""One side of secure aggregation, for the test in another release: lines of JSON in and out.

``client`` answers instructions of any number of nodes; ``server`` runs one round of the workflow.
Only names of the public API are used, so this runs under upstream's release and under ours.
"""

import base64
import copy
import json
import sys
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flwr.app import (
    Array,
    ArrayRecord,
    ConfigRecord,
    Context,
    Error,
    Message,
    MetricRecord,
    RecordDict,
)
from flwr.client.mod import secaggplus_mod
from flwr.common import (
    Code,
    FitRes,
    Status,
    ndarrays_to_parameters,
    parameters_to_ndarrays,
    recorddict_compat,
)
from flwr.server import Grid, LegacyContext
from flwr.server.compat.grid_client_proxy import GridClientProxy
from flwr.server.strategy import FedAvg
from flwr.server.workflow import SecAggPlusWorkflow

KINDS = {"ArrayRecord": ArrayRecord, "MetricRecord": MetricRecord, "ConfigRecord": ConfigRecord}


def dump(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    if isinstance(value, Array):
        return {"array": [value.dtype, list(value.shape), value.stype, dump(value.data)]}
    if isinstance(value, list):
        return [dump(item) for item in value]
    return value


def load(value: Any) -> Any:
    if isinstance(value, list):
        return [load(item) for item in value]
    if isinstance(value, dict) and "bytes" in value:
        return base64.b64decode(value["bytes"])
    if isinstance(value, dict):
        dtype, shape, stype, data = value["array"]
        return Array(dtype, tuple(shape), stype, load(data))
    return value


def dump_content(content: RecordDict) -> Any:
    return [
        [name, type(record).__name__, [[key, dump(value)] for key, value in record.items()]]
        for name, record in content.items()
    ]


def load_content(dumped: Any) -> RecordDict:
    return RecordDict(
        {name: KINDS[kind]({k: load(v) for k, v in items}) for name, kind, items in dumped}
    )


def instruction(node_id: int, content: RecordDict) -> Message:
    message = Message(content, node_id, "train", group_id="1")
    vars(message.metadata).update(_run_id=1, _message_id="0", _src_node_id=1)
    return message


def fit(message: Message, context: Context) -> Message:
    """Train: add a number of its own to everything."""
    asked = recorddict_compat.recorddict_to_fitins(message.content, keep_input=True)
    model = parameters_to_ndarrays(asked.parameters)
    trained = [np.asarray(array + context.node_id / 7) for array in model]
    result = FitRes(Status(Code.OK, ""), ndarrays_to_parameters(trained), context.node_id * 10, {})
    content = recorddict_compat.fitres_to_recorddict(result, keep_input=False)
    return Message(content, reply_to=message)


def answer(node_id: int, content: RecordDict, contexts: dict[int, Context]) -> Message:
    context = contexts.setdefault(node_id, Context(1, node_id, {}, RecordDict(), {}))
    message = instruction(node_id, content)
    try:
        return secaggplus_mod(message, context, fit)
    except Exception as error:  # noqa: BLE001  as the runtimes answer
        return Message(Error(2, f"{type(error).__name__}: {error}"), reply_to=message)


def serve_clients() -> None:
    contexts: dict[int, Context] = {}
    for line in sys.stdin:
        asked = json.loads(line)
        reply = answer(asked["node_id"], load_content(asked["content"]), contexts)
        write(
            {"error": reply.error.reason}
            if reply.has_error()
            else {"content": dump_content(reply.content)}
        )


def write(line: Any) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


class PipeGrid(Grid):
    """Asks whoever reads standard output."""

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        replies = []
        for message in messages:
            node_id = message.metadata.dst_node_id
            write({"node_id": node_id, "content": dump_content(message.content)})
            told = json.loads(sys.stdin.readline())
            if told is None:
                continue
            asked = instruction(node_id, copy.copy(message.content))
            replies.append(
                Message(Error(2, told["error"]), reply_to=asked)
                if "error" in told
                else Message(load_content(told["content"]), reply_to=asked)
            )
        return replies

    def _unused(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError

    run: Any = None
    set_run = get_node_ids = push_messages = pull_messages = create_message = _unused


def train_round(numbers: Any) -> None:
    node_ids = range(11, 11 + numbers.pop("clients"))
    strategy = FedAvg(min_fit_clients=len(node_ids), min_available_clients=len(node_ids))
    context = LegacyContext(Context(1, 0, {}, RecordDict(), {}), strategy=strategy)
    grid = PipeGrid()
    for node_id in node_ids:
        context.client_manager.register(GridClientProxy(node_id, grid, 1))
    model: list[NDArray[Any]] = [np.zeros((3, 4)), np.ones(5, np.float32)]
    context.state["parameters"] = recorddict_compat.parameters_to_arrayrecord(
        ndarrays_to_parameters(model), keep_input=True
    )
    context.state["config"] = ConfigRecord({"current_round": 1})
    SecAggPlusWorkflow(**numbers)(grid, context)
    record = context.state.array_records["parameters"]
    write({"model": [array.tolist() for array in record.to_numpy_ndarrays()]})


if __name__ == "__main__":
    serve_clients() if sys.argv[1] == "client" else train_round(json.loads(sys.argv[2]))
