"""Instructions whose hand-over may have been lost with the connection that carried it.

An answer can vanish after we sent it, and gRPC does not say so.  What a node took and never
confirmed is therefore handed out again when it asks for more, after a pause and a few times only:
a node that is still fetching the content simply ignores it.

Kept in memory only: a node that asks after a restart of the SuperLink gets a fresh count.  What was
taken before the restart may never have left, so nodes of ours get it again without a pause.
"""

import threading
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Final

from flwr.core.ids import MessageId
from flwr.store.message_rows import Queued

HANDED_OUT_AGAIN_AFTER: Final = timedelta(seconds=10)
MOST_REPEATS: Final = 3
_MOST_WHOLE: Final = 65_536


class Handouts:
    """When unconfirmed instructions were last handed out, and how often again."""

    def __init__(self, began_at: datetime) -> None:
        """Know nothing of what was handed out before ``began_at``."""
        self._began_at = began_at
        self._repeats: dict[MessageId, tuple[datetime, int]] = {}
        self._whole: dict[MessageId, None] = {}
        self._lock = threading.Lock()

    def repeat(
        self, taken: Iterable[Queued], *, now: datetime, knows_repeats: bool = False
    ) -> MessageId | None:
        """Return one of the ``taken`` instructions that should be handed out again.

        Args:
            taken: by one node, without a word of it since.
            now: what the time is.
            knows_repeats: the node drops what it has.
        """
        with self._lock:
            for one in taken:
                if one.confirmed_at is not None or one.claimed_at is None:
                    continue
                at, times = self._repeats.get(one.message_id, (one.claimed_at, 0))
                is_forgotten = knows_repeats and not times and at < self._began_at
                is_due = is_forgotten or now - max(at, one.claimed_at) >= HANDED_OUT_AGAIN_AFTER
                if times < MOST_REPEATS and is_due:
                    self._repeats[one.message_id] = (now, times + 1)
                    return one.message_id
        return None

    def note_whole(self, message_id: MessageId) -> None:
        """Note that an instruction went out with all its objects, which are small."""
        with self._lock:
            if len(self._whole) >= _MOST_WHOLE:  # of nodes that never answered
                del self._whole[next(iter(self._whole))]
            self._whole[message_id] = None

    def was_whole(self, message_id: MessageId) -> bool:
        """Tell whether an instruction is known to have gone out with all its objects."""
        return message_id in self._whole

    def forget(self, message_ids: Iterable[MessageId]) -> None:
        """Drop what is known of instructions that were answered, or dropped."""
        with self._lock:
            for message_id in message_ids:
                self._repeats.pop(message_id, None)
                self._whole.pop(message_id, None)
