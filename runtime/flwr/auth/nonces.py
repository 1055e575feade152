"""Values that may be used once within a window; memory is bounded and freed by time."""

import threading
from collections import OrderedDict
from collections.abc import Hashable
from datetime import UTC, datetime, timedelta
from typing import Final

from flwr.core.errors import UnavailableError

MAX_NONCES: Final = 65_536  # live at once: over 200 calls a second for the whole window
_SIFT_EVERY: Final = timedelta(seconds=1)  # at most, while the book is full


class NonceBook:
    """Remembers used values until they lapse; thread-safe."""

    def __init__(self, max_nonces: int = MAX_NONCES) -> None:
        self._max_nonces = max_nonces
        self._used: OrderedDict[Hashable, datetime] = OrderedDict()
        self._sift_again_at = datetime.min.replace(tzinfo=UTC)
        self._lock = threading.Lock()

    def __contains__(self, nonce: Hashable) -> bool:
        """Tell whether the value is remembered as used."""
        with self._lock:
            return nonce in self._used

    def use(self, nonce: Hashable, *, until: datetime, now: datetime) -> bool:
        """Note a use; False when there was one before.

        Args:
            nonce: the value.
            until: the instant from which the window refuses it anyway.
            now: the present instant.

        Raises:
            UnavailableError: too many are remembered.
        """
        with self._lock:
            if nonce in self._used:
                return False
            self._forget(now)
            if len(self._used) >= self._max_nonces:
                raise UnavailableError("too many signed calls at once, try again later")
            self._used[nonce] = until
            return True

    def _forget(self, now: datetime) -> None:
        """Drop what has lapsed: entries are nearly in order, so those in front tell."""
        while self._used and self._used[next(iter(self._used))] <= now:
            self._used.popitem(last=False)
        if len(self._used) >= self._max_nonces and now >= self._sift_again_at:
            # Looking at all of them is slow, and a full book is asked again and again.
            self._sift_again_at = now + _SIFT_EVERY
            self._used = OrderedDict(entry for entry in self._used.items() if entry[1] > now)
