"""Which accepted replies still miss content, so that the last object wakes whoever waits.

Kept in memory only: it decides when to ring, never what is true.  What it knows nothing of, such
as a reply accepted before a restart, whoever waits looks for in the store.
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

    def arrived(self, run_id: RunId, object_id: ObjectId) -> list[MessageId] | None:
        """Note that an object came; return the instructions whose answers it completed.

        None when no answer is known to have lacked it.
        """
        with self._lock:
            answers = self._missing.get(run_id, {})
            lacking = [wanted for wanted in answers.values() if object_id in wanted]
            if not lacking:
                return None
            for wanted in lacking:
                wanted.remove(object_id)
            complete = [asked for asked, wanted in answers.items() if not wanted]
            for asked in complete:
                del answers[asked]
            if not answers:
                self._missing.pop(run_id, None)
            return complete
