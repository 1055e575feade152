"""Nodes that said goodbye and will probably be back: their work is not given up at once.

A node whose inbox survives restarts keeps what it was asked to do.  When such a node is stopped and
started again (an upgrade, a reboot) its instructions stay open for a while instead of failing.

Kept in memory only: after a restart of the SuperLink the plain contract holds, offline is offline.
"""

import threading
from datetime import datetime, timedelta
from typing import Final

from flwr.core.ids import NodeId

EXCUSED: Final = timedelta(seconds=60)  # as long as a node that vanished is waited for


class Absences:
    """Which nodes are durable, and until when those that left are waited for."""

    def __init__(self) -> None:
        self._durable: set[NodeId] = set()
        self._until: dict[NodeId, datetime] = {}
        self._lock = threading.Lock()

    def present(self, node_id: NodeId, *, is_durable: bool) -> None:
        """Note that a node is here, and whether it keeps its inbox over a restart."""
        with self._lock:
            self._until.pop(node_id, None)
            if is_durable:
                self._durable.add(node_id)
            else:
                self._durable.discard(node_id)

    def left(self, node_id: NodeId, *, at: datetime) -> None:
        """Note that a node went offline by itself."""
        with self._lock:
            if node_id in self._durable:
                self._until[node_id] = at + EXCUSED

    def forget(self, node_id: NodeId) -> None:
        """Note that a node will never be back."""
        with self._lock:
            self._durable.discard(node_id)
            self._until.pop(node_id, None)

    def is_excused(self, node_id: NodeId, *, at: datetime) -> bool:
        """Tell whether the node's work still waits for it."""
        with self._lock:
            until = self._until.get(node_id)
            return until is not None and at < until
