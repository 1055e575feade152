"""Runs an app on virtual nodes in this process, with whichever release of flwr runs this file.

``python in_process.py APP_FOLDER NUM_NODES [key=number ...]``: prints what the app prints and logs,
and afterwards one line per message, so that two releases can be compared to the last byte.
"""

import copy
import hashlib
import logging
import random
import sys
import threading
import tomllib
from importlib import import_module
from pathlib import Path

import numpy as np

from flwr.app import Context, Error, Message, RecordDict
from flwr.common.typing import Run
from flwr.server import Grid


class LocalGrid(Grid):
    """Calls the ClientApp when a message is pushed."""

    def __init__(self, app, nodes: int, run_config) -> None:
        self.app, self.wire, self.replies = app, [], {}
        self.lock = threading.Lock()
        self.contexts = {
            1000 + i: Context(
                run_id=7,
                node_id=1000 + i,
                node_config={"partition-id": i, "num-partitions": nodes},
                state=RecordDict(),
                run_config=run_config,
            )
            for i in range(nodes)
        }
        fields = ["", "", "", {}, "", "", "", "", None, "", "", 0, 0, 0.0]
        self.the_run = Run(7, *fields)

    def set_run(self, run):
        self.the_run = run

    @property
    def run(self):
        return self.the_run

    def create_message(self, content, message_type, dst_node_id, group_id, ttl=None):
        return Message(content, dst_node_id, message_type, ttl=ttl, group_id=group_id)

    def get_node_ids(self):
        return list(self.contexts)

    def push_messages(self, messages):
        with self.lock:
            return [self._push(message) for message in messages]

    def _push(self, message):
        message_id = f"m{len(self.wire)}"
        vars(message.metadata).update(_run_id=7, _message_id=message_id, _src_node_id=1)
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

    def pull_messages(self, message_ids):
        return [self.replies.pop(i) for i in message_ids if i in self.replies]

    def send_and_receive(self, messages, *, timeout=None):
        return self.pull_messages(self.push_messages(messages))


def line_of(direction: str, message) -> str:
    told = message.metadata
    head = f"wire {told.group_id or 0} {direction} {told.message_type} {told.dst_node_id}"
    head += f" {told.src_node_id}"
    if message.has_error():
        return f"{head} error {message.error.code} {message.error.reason}"
    records = ", ".join(f"{n}={shown(record)}" for n, record in message.content.items())
    life = "default" if told.ttl > 40_000 else "short"
    return f"{head} {life} {records}"


def shown(record) -> str:
    entries = {}
    for name, value in record.items():
        is_array = hasattr(value, "stype")
        entries[name] = value
        if is_array:
            digest = hashlib.sha256(value.data).hexdigest()[:16]
            entries[name] = (value.dtype, value.shape, value.stype, digest)
    return f"{type(record).__name__}{entries}"


def main() -> None:
    folder, nodes, *overrides = sys.argv[1:]
    try:
        from flwr.app.console_log import configure_console
    except ImportError:
        logging.getLogger("flwr").handlers[0].stream = sys.stdout
    else:
        configure_console(sys.stdout)
    sys.path.insert(0, folder)
    table = tomllib.loads((Path(folder) / "pyproject.toml").read_text())["tool"]["flwr"]["app"]
    run_config = dict(table["config"])
    run_config.update((k, int(v)) for k, _, v in (pair.partition("=") for pair in overrides))

    def load(name: str):
        module, _, attribute = table["components"][name].partition(":")
        return getattr(import_module(module), attribute)

    random.seed(11)
    np.random.seed(11)  # noqa: NPY002  the generator that strategies use
    grid = LocalGrid(load("clientapp"), int(nodes), run_config)
    context = Context(
        run_id=7, node_id=1, node_config={}, state=RecordDict(), run_config=run_config
    )
    load("serverapp")(grid=grid, context=context)
    print("\n".join(sorted(grid.wire)))


if __name__ == "__main__":
    main()
