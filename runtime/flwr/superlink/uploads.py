"""Which accepted replies still miss content, so that the last object wakes whoever waits.

Kept in memory only: it decides when to ring, never what is true.  After a restart the next poll
finds a completed reply in the store.
"""

import threading
from collections import defaultdict
from collections.abc import Iterable

from flwr.core.ids import MessageId, ObjectId, RunId


class Uploads:
    """Objects on their way, by run and message."""

    def __init__(self) -> None:
        self._missing: defaultdict[RunId, dict[MessageId, set[ObjectId]]] = defaultdict(dict)
        self._lock = threading.Lock()

    def expect(self, run_id: RunId, owner: MessageId, missing: Iterable[ObjectId]) -> None:
        """Note what a message still lacks."""
        with self._lock:
            if wanted := set(missing):
                self._missing[run_id][owner] = wanted

    def arrived(self, run_id: RunId, object_id: ObjectId) -> bool:
        """Note that an object came; True when it completed a message."""
        with self._lock:
            owners = self._missing.get(run_id, {})
            for wanted in owners.values():
                wanted.discard(object_id)
            complete = [owner for owner, wanted in owners.items() if not wanted]
            for owner in complete:
                del owners[owner]
            if not owners:
                self._missing.pop(run_id, None)
            return bool(complete)
