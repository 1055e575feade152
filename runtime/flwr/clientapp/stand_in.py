"""An app of our own, with what it is asked: for processes that rehearse before they are forked.

What Python does for the first time it notes beside the code and the classes it used, for the next
time.  A fork copies each page of memory that it writes, so what its maker has noted already saves
it a fifth of its work.
"""

from datetime import UTC, datetime
from typing import Final

import numpy as np

from flwr.app import ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.app.metadata import Metadata
from flwr.clientapp.client_app import ClientApp

REHEARSALS: Final = 10  # Python 3.11 specialises a function at its eighth call


def stand_in_app() -> ClientApp:
    """Return an app that answers as most do."""
    app = ClientApp()

    @app.train()
    def train(message: Message, _context: Context) -> Message:
        arrays = message.content["arrays"].to_numpy_ndarrays()
        metrics = MetricRecord({"examples": 1, "loss": 0.5})
        return Message(
            RecordDict({"arrays": ArrayRecord(arrays), "metrics": metrics}), reply_to=message
        )

    return app


def stand_in_content() -> RecordDict:
    """Return what it is sent."""
    return RecordDict(
        {
            "arrays": ArrayRecord([np.zeros(256, np.float32)]),
            "config": ConfigRecord({"rate": 0.5, "name": "a"}),
            "metrics": MetricRecord({"loss": 0.5}),
        }
    )


def stand_in_metadata(run_id: int) -> Metadata:
    """Return the head of a message to it."""
    return Metadata(
        run_id=run_id,
        message_id="",
        src_node_id=1,
        dst_node_id=2,
        reply_to_message_id="",
        group_id="1",
        created_at=datetime.now(UTC).timestamp(),
        ttl=3600.0,
        message_type="train",
    )
