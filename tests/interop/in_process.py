"""Runs apps on virtual nodes in this process, with whichever release of flwr runs this file.

``python in_process.py RESULT APPS``: ``APPS`` is a JSON list of ``[folder, nodes, run_config]``.
The file ``RESULT`` gets, for each app, what it printed and logged, and one line per message, so
that two releases can be compared to the last byte.

Real: the release's ClientApp, ServerApp, mods, strategies and records.  Not real: between them is a
Grid of this file, which calls the ClientApp when a message is pushed.  Imports nothing of this
project, since upstream's Python runs it, too.
"""

import contextlib
import copy
import hashlib
import io
import json
import logging
import random
import sys
import threading
import tomllib
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from flwr.app import (
    ArrayRecord,
    ConfigRecord,
    Context,
    Error,
    Message,
    MetricRecord,
    RecordDict,
)
from flwr.clientapp import ClientApp
from flwr.common.config import flatten_dict
from flwr.common.typing import Run
from flwr.server import Grid

RUN_ID = 7
SEED = 11


class LocalGrid(Grid):
    """Calls the ClientApp when a message is pushed."""

    def __init__(self, app: ClientApp, nodes: int, run_config: dict[str, Any]) -> None:
        self.app = app
        self.wire: list[str] = []
        self.replies: dict[str, Message] = {}
        self.lock = threading.Lock()
        self.contexts = {
            1000 + i: Context(
                run_id=RUN_ID,
                node_id=1000 + i,
                node_config={"partition-id": i, "num-partitions": nodes},
                state=RecordDict(),
                run_config=dict(run_config),
            )
            for i in range(nodes)
        }
        fields: list[Any] = ["", "", "", {}, "", "", "", "", None, "", "", 0, 0, 0.0]
        self.the_run = Run(RUN_ID, *fields)

    def set_run(self, run: Any) -> None:
        self.the_run = run

    @property
    def run(self) -> Run:
        return self.the_run

    def create_message(
        self,
        content: RecordDict,
        message_type: str,
        dst_node_id: int,
        group_id: str,
        ttl: float | None = None,
    ) -> Message:
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self) -> Iterable[int]:
        return list(self.contexts)

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        with self.lock:
            return [self._push(message) for message in messages]

    def _push(self, message: Message) -> str:
        message_id = f"m{len(self.wire)}"
        vars(message.metadata).update(_run_id=RUN_ID, _message_id=message_id, _src_node_id=1)
        self.wire.append(line_of("ask", message))
        try:
            # A copy, as over a wire: apps and mods may change what they are asked.
            asked = copy.deepcopy(message)
            reply = self.app(asked, self.contexts[message.metadata.dst_node_id])
        except Exception as error:  # noqa: BLE001  as every engine does
            reply = Message(Error(2, f"{type(error)}:<'{error}'>"), reply_to=message)
        self.wire.append(line_of("answer", reply))
        self.replies[message_id] = reply
        return message_id

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        return [self.replies.pop(i) for i in list(message_ids) if i in self.replies]

    def send_and_receive(
        self, messages: Iterable[Message], *, timeout: float | None = None
    ) -> Iterable[Message]:
        return self.pull_messages(self.push_messages(messages))


def line_of(direction: str, message: Message) -> str:
    told = message.metadata
    head = f"wire {told.group_id or 0} {direction} {told.message_type} {told.dst_node_id}"
    head += f" {told.src_node_id}"
    if message.has_error():
        return f"{head} error {message.error.code} {message.error.reason}"
    records = ", ".join(f"{n}={shown(record)}" for n, record in message.content.items())
    life = "default" if told.ttl > 40_000 else "short"
    return f"{head} {life} {records}"


def shown(record: Any) -> str:
    entries = {}
    for name, value in record.items():
        is_array = hasattr(value, "stype")
        entries[name] = value
        if is_array:
            digest = hashlib.sha256(value.data).hexdigest()[:16]
            entries[name] = (value.dtype, value.shape, value.stype, digest)
    kinds = (ArrayRecord, MetricRecord, ConfigRecord)  # upstream's former names are subclasses
    (kind,) = (kind.__name__ for kind in kinds if isinstance(record, kind))
    return f"{kind}{entries}"


def play(folder: Path, nodes: int, overrides: dict[str, Any]) -> dict[str, Any]:
    """Run one app; return what it printed, and its messages in some fixed order."""
    sys.path.insert(0, str(folder))
    table = tomllib.loads((folder / "pyproject.toml").read_text())["tool"]["flwr"]["app"]
    run_config = {**flatten_dict(table["config"]), **overrides}

    def load(name: str) -> Any:
        module, _, attribute = table["components"][name].partition(":")
        return getattr(import_module(module), attribute)

    random.seed(SEED)
    np.random.seed(SEED)  # noqa: NPY002  the generator that strategies use
    printed = io.StringIO()
    log_to(printed)
    with contextlib.redirect_stdout(printed):
        grid = LocalGrid(load("clientapp"), nodes, run_config)
        context = Context(RUN_ID, 1, {}, RecordDict(), run_config)
        load("serverapp")(grid=grid, context=context)
    return {"printed": printed.getvalue(), "wire": sorted(grid.wire)}


def log_to(stream: io.StringIO) -> None:
    """Let the release log there."""
    try:
        from flwr.app.console_log import configure_console
    except ImportError:
        (handler,) = logging.getLogger("flwr").handlers
        assert isinstance(handler, logging.StreamHandler)
        handler.stream = stream
    else:
        configure_console(stream)


def main() -> None:
    result, apps = sys.argv[1:]
    played = [play(Path(folder), nodes, config) for folder, nodes, config in json.loads(apps)]
    Path(result).write_text(json.dumps(played), "utf-8")


if __name__ == "__main__":
    main()
