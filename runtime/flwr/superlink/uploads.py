"""Which accepted replies still miss content, so that the last object wakes whoever waits.

Kept in memory only: it decides when to ring, never what is true.  After a restart the next poll
finds a completed reply in the store.
"""

import threading
from collections import defaultdict
from collections.abc import Iterable

from flwr.core.ids import MessageId, ObjectId, RunId


class Uploads:
    """Objects on their way, by run and by the instruction that is answered with them."""

    def __init__(self) -> None:
        self._missing: defaultdict[RunId, dict[MessageId, set[ObjectId]]] = defaultdict(dict)
        self._lock = threading.Lock()

    def expect(self, run_id: RunId, asked: MessageId, missing: Iterable[ObjectId]) -> None:
        """Note what the answer to an instruction still lacks."""
        with self._lock:
            if wanted := set(missing):
                self._missing[run_id][asked] = wanted

    def arrived(self, run_id: RunId, object_id: ObjectId) -> list[MessageId]:
        """Note that an object came; return the instructions whose answers it completed."""
        with self._lock:
            answers = self._missing.get(run_id, {})
            for wanted in answers.values():
                wanted.discard(object_id)
            complete = [asked for asked, wanted in answers.items() if not wanted]
            for asked in complete:
                del answers[asked]
            if not answers:
                self._missing.pop(run_id, None)
            return complete
