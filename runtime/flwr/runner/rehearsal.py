"""The way of a message, gone by a template before it has any, with an app of our own.

What Python does for the first time it notes beside the code and the classes it used, for the next
time.  A fork copies each page of memory that it writes, so what its template has noted already
saves it a fifth of its work.  No app is called: none is imported yet.
"""

import socket
from datetime import UTC, datetime
from typing import Final

import numpy as np

from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.app.metadata import Metadata
from flwr.clientapp import ClientApp
from flwr.core.ids import AccountId, FabHash, RunId
from flwr.core.run import Run, RunStatus
from flwr.runner.clientapp_flow import run_imported
from flwr.wire.clients.taken import encode_taken
from flwr.wire.objects import deflate
from flwr.wire.pipe import PipeCaller, encode_reply

_TIMES: Final = 10  # Python 3.11 specialises a function at its eighth call
_NOW: Final = datetime.fromtimestamp(0, UTC)
_RUN: Final = Run(
    run_id=RunId(1),
    fab_id="nobody/nothing",
    fab_version="1",
    fab_hash=FabHash("0" * 64),
    federation="none",
    account_id=AccountId("nobody"),
    account_name="nobody",
    status=RunStatus.RUNNING,
    pending_at=_NOW,
    starting_at=_NOW,
    running_at=_NOW,
)


def rehearse() -> None:
    """Answer an instruction that nobody sent."""
    app, taken = _app(), _taken()
    for _ in range(_TIMES):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            ours.sendall(encode_reply(0, b""))  # to Finish
            run_imported(PipeCaller(theirs), app, taken)


def _app() -> ClientApp:
    app = ClientApp()

    @app.train()
    def train(message: Message, _context: Context) -> Message:
        arrays = message.content["arrays"].to_numpy_ndarrays()
        metrics = MetricRecord({"examples": 1, "loss": 0.5})
        return Message(
            RecordDict({"arrays": ArrayRecord(arrays), "metrics": metrics}), reply_to=message
        )

    return app


def _taken() -> bytes:
    """Return what a runner gives to an app."""
    records = RecordDict(
        {
            "arrays": ArrayRecord([np.zeros(1, np.float32)]),
            "config": ConfigRecord({"rate": 0.5, "name": "a"}),
            "metrics": MetricRecord({"loss": 0.5}),
        }
    )
    metadata = Metadata(
        run_id=_RUN.run_id,
        message_id="",
        src_node_id=1,
        dst_node_id=2,
        reply_to_message_id="",
        group_id="1",
        created_at=datetime.now(UTC).timestamp(),
        ttl=3600.0,
        message_type="train",
    )
    context = Context(_RUN.run_id, 2, {"partition": 1}, RecordDict(), {"rounds": 1})
    return encode_taken(
        _RUN, context, deflate(Message(metadata=metadata, content=records)).delivery()
    )
