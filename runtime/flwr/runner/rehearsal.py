"""The way of a message, gone by a template before it has any, with an app of our own.

See ``clientapp.stand_in`` for what that is good for.  No app is imported yet.
"""

import socket
from datetime import UTC, datetime
from typing import Final

from flwr.app import Context, Message, RecordDict
from flwr.clientapp.stand_in import (
    REHEARSALS,
    stand_in_app,
    stand_in_content,
    stand_in_metadata,
)
from flwr.core.ids import AccountId, FabHash, RunId
from flwr.core.run import Run, RunStatus
from flwr.runner.clientapp_flow import run_imported
from flwr.runner.outcome import REPORT_METHOD
from flwr.wire.clients.taken import encode_taken
from flwr.wire.objects import deflate
from flwr.wire.pipe import PipeCaller

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
    app, taken = stand_in_app(), _taken()
    for _ in range(REHEARSALS):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            caller = PipeCaller(theirs)
            caller.tell(REPORT_METHOD, run_imported(caller, app, taken).encode())


def _taken() -> bytes:
    """Return what a runner gives to an app."""
    metadata, records = stand_in_metadata(_RUN.run_id), stand_in_content()
    context = Context(_RUN.run_id, 2, {"partition": 1}, RecordDict(), {"rounds": 1})
    return encode_taken(
        _RUN, context, deflate(Message(metadata=metadata, content=records)).delivery()
    )
