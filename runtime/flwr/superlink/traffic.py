"""Counts the bytes that runs move, without a transaction of its own for every object.

Counts gather in memory and are written with the next transaction that writes for the run anyway.
They inform people and decide nothing, so a crash may lose the last ones.
"""

import threading
from collections import defaultdict
from dataclasses import dataclass

from flwr.core.ids import RunId
from flwr.store.store import Tx


@dataclass(slots=True)
class _Count:
    sent: int = 0
    received: int = 0


class Traffic:
    """Bytes not yet written to the runs they belong to."""

    def __init__(self) -> None:
        self._counts: defaultdict[RunId, _Count] = defaultdict(_Count)
        self._lock = threading.Lock()

    def sent(self, run_id: RunId, size_bytes: int) -> None:
        """Count bytes that went to a node."""
        with self._lock:
            self._counts[run_id].sent += size_bytes

    def received(self, run_id: RunId, size_bytes: int) -> None:
        """Count bytes that came from a node."""
        with self._lock:
            self._counts[run_id].received += size_bytes

    def flush(self, tx: Tx, run_id: RunId, *, clientapp_runtime_s: float = 0.0) -> None:
        """Write what was counted for ``run_id``; part of a transaction that writes anyway."""
        with self._lock:
            count = self._counts.pop(run_id, None) or _Count()
        if count.sent or count.received or clientapp_runtime_s:
            tx.runs.add_traffic(
                run_id,
                sent=count.sent,
                received=count.received,
                clientapp_runtime_s=clientapp_runtime_s,
            )
